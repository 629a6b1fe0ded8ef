"""Peer links: frames, mutual TLS connections, link policy. Door: `peers.Peers`."""
