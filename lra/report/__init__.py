"""Everything that only reads rows and measurements: groups of rows, statistics, published figures,
and the tables, pictures and pages made of them; and `submit`, which checks rows from elsewhere.

Imports lra.efficiency and the rooms below it. Domain logic is in this folder, renderers are in
tables/, leaderboard/ and plots.py; nothing imports a renderer for its logic.
"""
