"""LMDB environments with sealed values: consensus journal, chain, document blobs.

Doors: `ledger.ChainStore`, `journal.Journal`, `blobs.BlobStore`; `places.DataDirectory` is held by one process.
"""
