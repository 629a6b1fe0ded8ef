"""`hansa bench`: how fast four real nodes on this machine are, and where their time goes (performance E40 to E43).

Door: `run.measure(settings)`. `machine` reads clocks and /proc, `network` founds and runs the nodes, `load` signs and
sends, `result` holds what was found, `page` draws it.
"""
