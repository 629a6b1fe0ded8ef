"""Companies, nodes, users and keys: records and pure rules of who is who (S18-S20).

Door: `ledger.registry.records` for the records, `ledger.registry.lookup` to read them from state.
"""
