"""Running models on episode sets and turning their masks into results."""
