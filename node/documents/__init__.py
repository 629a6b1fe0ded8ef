"""Confidential documents at this node: intake of foreign files, sealed originals.

Doors: `intake.parse_files` reads what strangers send, in a process of its own; `vault.Vault` keeps originals sealed.
"""
