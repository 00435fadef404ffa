"""Speed and memory by length: python -m lra.efficiency (lab.py)."""
