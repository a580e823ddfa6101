"""Results gathered, grouped by what may be compared, and ranked."""
