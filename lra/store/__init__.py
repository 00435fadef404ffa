"""The results store: cells and who works on them (cell, claim), rows (row, runs).

Imports lra.objective, data_prep, lra.files, lra.config and lra.machine; never torch.
"""
