"""A refusal on its way to a person: what was wrong, the value, the next step, and the exit code (U16, U18)."""

from __future__ import annotations

from typing import Any

from cli.exit_codes import Exit


class CommandFailed(Exception):
    """Ends a command. `text` names cause and value, `next_step` what to do; `problem` is the API's problem object."""

    def __init__(self, code: Exit, text: str, next_step: str = "", problem: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.next_step = next_step
        self.problem = problem
