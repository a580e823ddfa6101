"""What a researcher calls from Python, and what every command calls: options in, one call, results out."""
