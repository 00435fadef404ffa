"""The efficiency lab: measures speed and memory of every model by length (lab), each in a process
of its own (child), keeps the measurements (records) and reports ratios and growth (report).

Imports lra.training and the packages below it.
"""
