"""What a transaction may do: a small typed language, its interpreter, gas and host interface.

Door: `contracts.runtime.run(call, code, host, gas_limit) -> Outcome`.
"""
