"""The models: one trunk, and one file for each mechanism. Imports nothing of lra."""
