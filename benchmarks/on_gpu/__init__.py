"""The sections of `gpu.py`, one a file; each has a ``measure`` that tells its figures."""
