"""The `hansa` command. Door: `cli.__main__.main()`."""

from typing import Final

VERSION: Final = "0.1.0"
"""The same as that of the node; written here so that asking for it imports nothing."""
