"""Integers in, figures out: counts, metrics, uncertainty, comparison, stability."""
