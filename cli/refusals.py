"""What a person reads when a contract said no (F85): the rule, its place, the reason and what to do, in their language.

Receipts speak English, because all nodes compare them, and so does JSON. `words/*.toml` have the frame and the next
steps, `node.web.aborts` the reasons of the contracts that come with Hansa; what another contract says stays as its
author wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.language import chosen
from cli.phrases import words
from ledger.transaction import RESERVED_CONTRACTS
from node.sentences import named, names_in


def refused(
    abort: Mapping[str, Any], problem: dict[str, Any] | None = None, names: Mapping[str, str] | None = None
) -> CommandFailed:
    """Return the end of a command whose call was refused; `problem` is the transaction, if there is one.

    Scripts read English and ids, people the chosen language and names: `names` (id -> name), or those that stand in
    the transaction.
    """
    language = chosen()
    step = words(language, "refused")["next"].format(step=refusal_next(abort, language))
    shown = (named(refusal_text(abort, language), names_in(problem or {}) if names is None else names), step)
    return CommandFailed(Exit.REJECTED, refusal_text(abort), refusal_next(abort), problem, shown)


def refusal_text(abort: Mapping[str, Any], language: str = "en") -> str:
    """Return which rule refused a call, where it stands and why.

    >>> abort = {"code": "out_of_gas", "contract": "loans", "version": 1, "line": 9}
    >>> refusal_text(abort)
    'refused by rule out_of_gas (loans v1, line 9): out_of_gas'
    >>> refusal_text(abort, "zh-CN")
    '被规则 out_of_gas 拒绝（loans 第 1 版第 9 行）：out_of_gas'
    """
    said = words(language, "refused")
    contract = str(abort.get("contract", ""))
    if contract in RESERVED_CONTRACTS:  # the ledger itself, without a text
        place = contract
    else:
        place = said["place"].format(contract=contract, version=abort.get("version", ""), line=abort.get("line", ""))
    text = str(abort.get("text") or "")
    if text and language != "en":
        from node.web.aborts import aborted  # only here: it brings the pages with it

        text = aborted({"contract": contract, "code": abort.get("code", ""), "text": text}, language) or text
    rule = abort.get("reason") or abort.get("code", "failed")
    return said["rule"].format(rule=rule, place=place, text=text or abort.get("code", ""))


def refusal_next(abort: Mapping[str, Any], language: str = "en") -> str:
    """Return the step for a rule, or where the rule can be read."""
    steps = words(language, "after")
    if abort.get("contract") in RESERVED_CONTRACTS:
        return steps["governance"]
    step = steps.get(str(abort.get("reason") or abort.get("code", "")))
    return step or steps["else"].format(contract=abort.get("contract") or "NAME")
