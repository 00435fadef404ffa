"""Path-X: Pathfinder at 128 x 128 pixels, 16,384 tokens."""

from data_prep.pathfinder import make

__all__ = ["make"]
