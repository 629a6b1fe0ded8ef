"""Operations listener: health and metrics, apart from API and pages, loopback by default (U8, S49).

Doors: `listener.serve_ops` opens it, `metrics.Registry` counts, `logs.configure` sets up structured logs.
"""
