"""The thin asyncio shell around the pure node: one turn, timers, workers."""
