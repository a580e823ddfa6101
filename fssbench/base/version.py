"""The package's version. It stands here alone; a build reads it without importing the package."""

__version__ = "0.1.0"
