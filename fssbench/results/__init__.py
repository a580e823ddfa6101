"""What lies on disk after an evaluation, and how it is read, checked and scored again."""
