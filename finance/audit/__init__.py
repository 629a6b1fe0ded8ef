"""Audit: proof packs and the offline verifier. Names resolve lazily, the verifier stands alone (F78)."""
