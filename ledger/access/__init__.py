"""Roles, grants and `decide`, the one access function (S62)."""
