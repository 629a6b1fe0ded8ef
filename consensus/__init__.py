"""How it is agreed on: signature PBFT with a chained window, as a pure state machine.

Door: `consensus.replica.Replica.step(event) -> list[Effect]`.
"""
