"""One access function, asked at four places (S62-S70).

Door: `ledger.access.decide.decide`. `ledger.access.model` holds the closed vocabularies and records.
"""
