"""HumanEval, MBPP and their Plus versions: run what models write, and count."""
