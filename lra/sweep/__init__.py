"""Sweeps: one process a cell (supervisor), the state of each in the store (status), the plan and
the table around a sweep (ledger), and search by the val metric (search).

Imports lra.training and the rooms below it.
"""
