"""The efficiency lab: speed and memory of every model by length (lab), each measurement in a
process of its own (child), kept (records) and reported with ratios and growth (report).

Imports lra.training and what lies below.
"""
