"""Training and scoring one cell: run.py builds it, attempt.py records it whatever happens.

Imports lra.store and the rooms below it, and models.
"""
