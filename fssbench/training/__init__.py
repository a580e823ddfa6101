"""Training: recipes, the loop, checkpoints and what is known of how they were chosen."""
