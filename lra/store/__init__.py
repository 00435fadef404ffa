"""The results store: cells (cell), claims of workers on them (claim), and rows (row, runs).

Imports lra.objective, data_prep, lra.files, lra.config and lra.machine; never torch.
"""
