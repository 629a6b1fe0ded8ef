"""Local clusters of real nodes: one supervisor, one process per company (cluster.md C1, C2).

Door: `supervisor.Supervisor(plan, serve).run()`; `control.ask` talks to a running one.
"""
