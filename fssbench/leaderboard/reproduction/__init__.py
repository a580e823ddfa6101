"""A paper's table, run: what trainings and evaluations it takes, which are missing, and how the figures compare."""
