"""Tables of what was measured and published, as Markdown, LaTeX, CSV and on the terminal: one file
a kind (results, papers, efficiency, short), all of the same rows. Renderers: nothing imports them
for their logic.
"""
