"""A company's daemon. Door: `node.core.machine.NodeCore.step(event)`; for the daemon `node.app.serve(config)`."""
