"""Measurements as commands: ratios within one process, printed, never asserted."""
