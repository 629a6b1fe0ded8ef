"""The translated core of the public Starlark suite passes; `python -m tests.language.starlark` lists what is skipped."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from contracts.runtime import program
from tests.language.hosts import CURRENCIES, GAS, DictHost, reference_of, same
from tests.language.starlark import ARCHIVE, Piece, Rewriter, Skipped, archive, pieces

KEPT = {
    "equality.star": 21, "float.star": 1, "function.star": 3, "int.star": 67, "list.star": 1, "list_slices.star": 5,
    "min_max.star": 13,
}  # fmt: skip
"""Pieces that are rewritten, by file: the pinned set that passes."""
SKIPPED = 1_912
REASONS = {"a method call": 534, "a number over 63 bits": 8, "int where only bool may stand": 30}
"""How many are skipped, and for some of the reasons."""


def check(piece: Piece) -> None:
    """Run a piece on both back ends; it must be true, or abort with its code."""
    kind = "int" if piece.abort else "bool"
    source = f"contract c version 1\nquery q() -> {kind}:\n    return {piece.body}\n"
    linked = program([("c", source.encode())], CURRENCIES)
    outcome = linked.query("c", "q", (), DictHost(), GAS)
    assert same(outcome, reference_of(linked, CURRENCIES), ("c", "q", (), False), DictHost()) == "", piece
    assert ("" if outcome.abort is None else outcome.abort.code) == piece.abort, piece
    assert piece.abort or outcome.result is True, piece


def test_the_core_of_the_suite_passes() -> None:
    path = archive()
    if path is None:
        pytest.skip(f"{ARCHIVE} is not here; scripts/starlark-suite fetches it from PyPI")
    kept, skipped = pieces(path)
    for piece in kept:
        check(piece)
    assert Counter(piece.file for piece in kept) == KEPT
    assert len(skipped) == SKIPPED
    reasons = Counter(reason for _, _, reason in skipped)
    assert {reason: reasons[reason] for reason in REASONS} == REASONS


@pytest.mark.parametrize(
    ("line", "body", "abort"),
    [
        ("assert_eq(big // 3 % -2, 3 - 4)", "(mod(floor_div((9), 3), (-2)) == (3 - 4))", ""),
        ("assert_(not 1 > 2 and len([4, 5]) == 2)", "((not (1 > 2)) and (count([4, 5]) == 2))", ""),
        ('assert_eq("b" in ["a", "b"], True)', '(("b" in ["a", "b"]) == true)', ""),
        ("assert_eq(max([3, big, 2]), 9)", "(max(max(3, (9)), 2) == 9)", ""),
        ('assert_fails(lambda: 4 % 0, "modulo by zero")', "mod(4, 0)", "divide_by_zero"),
    ],
)
def test_pieces_are_rewritten(line: str, body: str, abort: str) -> None:
    """The pieces here are ours; those of the suite stay in their archive."""
    rewriter = Rewriter()
    assign, node = ast.parse(f"big = 9\n{line}\n").body
    assert isinstance(assign, ast.Assign)
    rewriter.assign(assign)
    piece = rewriter.piece("ours.star", node)
    assert (piece.body, piece.abort) == (body, abort)
    check(piece)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("assert_eq(1 and 2, 2)", "int where only bool may stand"), ('assert_eq("a".upper(), "A")', "a method call"),
        ("assert_eq(9223372036854775807 + 1, 9223372036854775808)", "a number over 63 bits"),
        ("assert_eq([1] == [1], True)", "lists are not compared, bools have no order"),
        ("assert_eq(1 << 3, 8)", "the operator LShift"), ("x.append(1)", "the statement Expr"),
        ("assert_eq(True, 1)", "a comparison of two types"), ("assert_eq([1, 2][-1], 2)", "an index from the end"),
        ('assert_fails(lambda: 1 + "a", "unsupported")', "an error of a rule that does not exist here"),
    ],
)  # fmt: skip
def test_pieces_are_skipped_with_a_reason(line: str, reason: str) -> None:
    with pytest.raises(Skipped) as caught:
        Rewriter().piece("ours.star", ast.parse(line).body[0])
    assert str(caught.value) == reason
