"""Tables of what was measured, and of what was published: python -m lra.tables (__main__.py)."""
