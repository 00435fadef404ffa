"""One file a task: `make(task, data, path)` finds or generates the data and packs them.

May import the rest of data_prep, lra.files and lra.errors.
"""
