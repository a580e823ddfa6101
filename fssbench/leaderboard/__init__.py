"""Results gathered, grouped by what may be compared, ranked and verified."""
