"""Confidential documents at this node: intake of foreign files, sealed originals."""
