"""Server-rendered pages over the same operations as everybody else. Door: `node.web.serve.serve_api`."""
