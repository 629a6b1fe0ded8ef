"""LMDB environments with sealed values: consensus journal, ledger, document blobs."""
