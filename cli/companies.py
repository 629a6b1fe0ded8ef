"""Companies as people name them: by id, or by the exact name in the directory of their node (S18).

A name that two companies share names nobody; the refusal says so and proposes what is close.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed

_ID: Final = re.compile(r"c[a-z2-7]{26}", re.ASCII)
BANK_ROLE: Final = "settlement_bank"


@dataclass(frozen=True, slots=True)
class Companies:
    """The companies of the network, as the node lists them."""

    items: tuple[Mapping[str, Any], ...]

    def id_of(self, text: str) -> str:
        """Return the id that `text` names; refuse what names no company, or two."""
        if _ID.fullmatch(text):
            return text
        named = [str(item["id"]) for item in self.items if item["name"] == text]
        if len(named) == 1:
            return named[0]
        if named:
            raise CommandFailed(
                Exit.USAGE, f"{len(named)} companies are called {text!r}", f"write the id: {' or '.join(named)}"
            )
        raise CommandFailed(Exit.USAGE, f"{text!r} is no company of this network", _hint(text, self.items))

    @property
    def names(self) -> dict[str, str]:
        """The names by id."""
        return {str(item["id"]): str(item["name"]) for item in self.items}

    def only_bank(self) -> str:
        """Return the id of the settlement bank; refuse when there is none, or a choice to make."""
        banks = [item for item in self.items if BANK_ROLE in item["roles"] and item["status"] == "active"]
        if len(banks) == 1:
            return str(banks[0]["id"])
        known = ", ".join(f"{item['name']} ({item['id']})" for item in banks)
        raise CommandFailed(
            Exit.USAGE,
            f"this network has {len(banks)} settlement banks" if banks else "this network has no settlement bank",
            f"name one with --bank: {known}" if banks else "ask the founders which company keeps the money",
        )


async def fetch(client: Client) -> Companies:
    """Ask the node for the companies of the network."""
    return Companies(tuple((await client.get("v1/companies"))["items"]))


def _hint(text: str, items: tuple[Mapping[str, Any], ...]) -> str:
    from difflib import get_close_matches

    names = [str(item["name"]) for item in items]
    wanted = text.casefold()
    close = [name for name in names if wanted and wanted in name.casefold()] or get_close_matches(text, names, n=1)
    if len(close) == 1:
        return f"did you mean {close[0]!r}?"
    return "write its exact name or its id; hansa company list shows both"
