"""Keys at rest, TLS certificates and the signed hello.

Doors: `keystore.Keystore`, `tls.server_context`, `tls.client_context`, `hello.HelloExchange`,
`directory.load_directory`.
"""
