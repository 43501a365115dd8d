"""Changes one choice of a recipe at a time."""
