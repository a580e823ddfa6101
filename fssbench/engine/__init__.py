"""How a model is asked: jobs, runs, precision, controls, profiles."""
