"""One page with everything that was measured: python -m lra.leaderboard (__main__.py)."""
