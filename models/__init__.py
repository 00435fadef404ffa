"""What is compared: one trunk, and one file for each mechanism."""
