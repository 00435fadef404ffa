"""Callbacks that watch a training: speed, memory, loss, energy, progress; and the trackers.

Imports lra.store and the rooms below it.
"""
