"""The pure node: replica, mempool, chain and sync joined in one step function. Door: `machine.NodeCore.step`."""
