"""Path-X: Pathfinder at 128 x 128 pixels, 16,384 tokens."""

from data_prep.tasks.pathfinder import make

__all__ = ["make"]
