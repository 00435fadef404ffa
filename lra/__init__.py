"""The harness. Rooms: config, store, training, sweep, efficiency, report, and objective, the seam
for what is learned; tests/test_arrows.py says who may import whom. The commands are the files
beside them: python -m lra lists all.
"""
