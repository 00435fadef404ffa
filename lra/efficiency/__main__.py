from lra.efficiency.lab import run

run()
