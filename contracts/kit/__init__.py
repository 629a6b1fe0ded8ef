"""Tools for people who write, review and approve contracts. Nothing here runs on a node.

Doors: `layout.tidy` (fmt), `explain.explain`, `compare.compare` (diff), `observe` (trace, coverage), `explore.explore`
(generated calls against invariants).
"""
