"""The harness: cells, data loading, training, rows and tables."""
