"""What watches a training: speed, memory, loss, energy, the progress bar, trackers.

Imports lra.store and what lies below.
"""
