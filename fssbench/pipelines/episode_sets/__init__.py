"""Episode sets: planned, prepared, opened, streamed, verified."""
