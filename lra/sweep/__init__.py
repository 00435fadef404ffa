"""Sweeps: one process a cell (supervisor), what the store says of each (status), the plan and the
table around them (ledger), and search by the val metric (search).

Imports lra.training and the rooms below it.
"""
