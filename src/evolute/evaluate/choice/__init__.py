"""Multiple choice and short answers: prompts to the letter of lm-evaluation-harness, and a scorer of our own."""
