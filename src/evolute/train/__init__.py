"""Fine-tuning: recipes, what a model learns from, and what can go wrong."""
