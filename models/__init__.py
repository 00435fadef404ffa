"""The models: one shared trunk, and one file for each mechanism. Imports nothing from lra."""
