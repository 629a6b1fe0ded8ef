"""A refusal on its way to a person: what was wrong, the value, the next step, and the exit code (U16, U18)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cli.exit_codes import Exit

PROBLEM_SCHEMA: Final = "hansa.problem/1"
_RETRYABLE: Final = (Exit.UNKNOWN, Exit.UNAVAILABLE, Exit.NO_QUORUM)
"""Exits after which the same command may be given again without harm."""


class CommandFailed(Exception):
    """Ends a command. `text` names cause and value, `next_step` what to do.

    `problem` is what the node answered: its problem object, or the transaction that did not end well. `shown` is the
    lines that a person reads instead, in their language; JSON has `text` and `next_step`.
    """

    def __init__(
        self,
        code: Exit,
        text: str,
        next_step: str = "",
        problem: dict[str, Any] | None = None,
        shown: tuple[str, ...] = (),
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.next_step = next_step
        self.problem = problem
        self.shown = shown or (text, *([f"Next: {next_step}"] if next_step else ()))

    def document(self) -> dict[str, Any]:
        """Return the problem object that scripts read (U11, U33): the node's own, or one of the same shape."""
        answer: Mapping[str, Any] = self.problem or {}
        if answer.get("schema") == PROBLEM_SCHEMA:
            return {**answer, "exit": int(self.code), **({"next": self.next_step} if self.next_step else {})}
        code = str(answer.get("code") or self.code.name.lower())
        found: dict[str, Any] = {
            "schema": PROBLEM_SCHEMA,
            "type": f"/docs/problems#{code}",
            "title": self.text.partition("\n")[0],
            "code": code,
            "detail": self.text,
            "retryable": self.code in _RETRYABLE,
            "exit": int(self.code),
        }
        if self.next_step:
            found["next"] = self.next_step
        if "state" in answer and "id" in answer:
            found |= {
                "tx_id": answer["id"],
                "transaction": {name: value for name, value in answer.items() if name != "code"},
            }
        return found
