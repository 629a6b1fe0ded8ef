"""Sources of contracts that nobody here has seen are compiled in a process of their own first (L58, docs/adr/0027).

Door: `reviewer.Reviewer`. `worker` is the process it starts.
"""
