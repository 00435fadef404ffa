"""Training and scoring one cell: run.py builds it, attempt.py records it whatever happens.

Imports lra.store and what lies below, and models.
"""
