"""Keys at rest, TLS certificates and the signed hello."""
