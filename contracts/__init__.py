"""What a transaction may do: a small typed language, its interpreter, gas and host interface.

Doors: `contracts.runtime` (load, link, program, `Program.execute` and `Program.query`), `contracts.testing.run_tests`.
"""
