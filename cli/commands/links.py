"""Verbs of `hansa cluster` that disturb the links between nodes: partition, heal, link (C4, C18 to C20)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from cli import local
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from simulator.cluster.plan import Plan

Resolve = Callable[[str | None, str | None], tuple[Path, Plan]]
"""From `--name` and `--dir` to the cluster that is meant."""
Option = Callable[[Any], Any]
Say = Callable[[list[local.LocalNode]], Any]
"""The quorum sentence as the first of these nodes that answers sees it."""

_TIME: Final = re.compile(r"([0-9]{1,6})(ms|s)", re.ASCII)
_LOSS: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,4}))?%", re.ASCII)
_RATE: Final = re.compile(r"([0-9]{1,6})(k|M)bit", re.ASCII)
_MILLION: Final = 1_000_000
SEEN_S: Final = 1.5
"""Until both sides have noticed that their links are gone."""


def add_to(group: click.Group, which: Option, folder: Option, resolve: Resolve, say: Say) -> None:
    """Add the verbs to `group`; `which` and `folder` are its options that name a cluster."""

    @group.command()
    @click.argument("sides", nargs=-1, required=True, metavar="A,B / C,D")
    @click.option("--one-way", is_flag=True, help="Cut only from the left to the right side.")
    @click.option("--for", "lasting", metavar="TIME", help="Mend after this time, for example 30s; waits meanwhile.")
    @which
    @folder
    def partition(
        sides: Sequence[str], one_way: bool, lasting: str | None, name: str | None, chosen: str | None
    ) -> None:
        """Cut the links between two groups of nodes; `*` stands for all others.

        \b
        hansa cluster partition lifeng,qiming / falkenberg,chenghu
        hansa cluster partition chenghu / '*' --for 30s
        """
        directory, plan = resolve(name, chosen)
        left, right = _sides(" ".join(sides), [node.name for node in plan.nodes])
        lasting_us = 0 if lasting is None else _time_us("--for", lasting)
        local.ask(directory, {"do": "partition", "left": left, "right": right, "one_way": one_way})
        time.sleep(SEEN_S)
        nodes = local.nodes_of(directory, plan)
        for side in (left, right):
            click.echo(asyncio.run(say([node for node in nodes if node.plan.name in side])))
        if lasting_us:
            time.sleep(lasting_us / _MILLION)
            local.ask(directory, {"do": "heal"})
            click.echo(asyncio.run(say(nodes)))

    @group.command()
    @click.option("--all", "everything", is_flag=True, help="Take delay, loss and rates away too.")
    @which
    @folder
    def heal(everything: bool, name: str | None, chosen: str | None) -> None:
        """Mend all cuts.

        \b
        hansa cluster heal
        """
        directory, plan = resolve(name, chosen)
        local.ask(directory, {"do": "heal", "all": everything})
        time.sleep(SEEN_S)
        click.echo(asyncio.run(say(local.nodes_of(directory, plan))))

    @group.command()
    @click.argument("node")
    @click.argument("other")
    @click.option("--latency", default="0ms", show_default=True, help="Delay of each message, for example 200ms.")
    @click.option("--loss", default="0%", show_default=True, help="Share of messages that are lost, for example 5%.")
    @click.option("--rate", help="Most that passes, for example 1Mbit or 64kbit. [default: no limit]")
    @which
    @folder
    def link(
        node: str, other: str, latency: str, loss: str, rate: str | None, name: str | None, chosen: str | None
    ) -> None:
        """Shape the link between two nodes, both ways.

        \b
        hansa cluster link lifeng qiming --latency 200ms --loss 1%
        """
        directory, plan = resolve(name, chosen)
        left, right = _sides(f"{node} / {other}", [item.name for item in plan.nodes])
        shape = {
            "latency_us": _time_us("--latency", latency),
            "loss_ppm": _loss_ppm(loss),
            "rate_bytes_per_s": 0 if rate is None else _rate_bytes(rate),
        }
        local.ask(directory, {"do": "link", "left": left, "right": right, **shape})
        click.echo(asyncio.run(say(local.nodes_of(directory, plan))))


def _sides(text: str, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names left and right of the slash.

    >>> _sides("a,b / *", ["a", "b", "c", "d"])
    (['a', 'b'], ['c', 'd'])
    """
    parts = [part.split(",") for part in text.replace(" ", "").split("/")]
    if len(parts) != 2 or not all(all(part) for part in parts):
        raise CommandFailed(
            Exit.USAGE, f"{text!r} does not name two sides", "write them like: lifeng,qiming / falkenberg,chenghu"
        )
    left, right = parts
    for name in [*left, *right]:
        if name != "*" and name not in names:
            raise CommandFailed(Exit.NOT_FOUND, f"no node is called {name!r}", f"known are {', '.join(names)}")
    if left == ["*"]:
        left = [name for name in names if name not in right]
    if right == ["*"]:
        right = [name for name in names if name not in left]
    both = [name for name in left if name in right]
    if both or "*" in left + right or not left or not right:
        what = f"{both[0]!r} is on both sides" if both else f"{text!r} does not name two sides"
        raise CommandFailed(Exit.USAGE, what, "each node belongs to one side; `*` stands alone for all others")
    return left, right


def _time_us(flag: str, text: str) -> int:
    """Return microseconds.

    >>> _time_us("--for", "30s"), _time_us("--latency", "200ms")
    (30000000, 200000)
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise CommandFailed(Exit.USAGE, f"{flag}: {text!r} is no time", "write it like 200ms or 30s")
    return int(found.group(1)) * (1_000 if found.group(2) == "ms" else _MILLION)


def _loss_ppm(text: str) -> int:
    """Return the share in a million.

    >>> _loss_ppm("5%"), _loss_ppm("0.25%")
    (50000, 2500)
    """
    found = _LOSS.fullmatch(text)
    share = 0 if found is None else int(found.group(1)) * 10_000 + int((found.group(2) or "").ljust(4, "0"))
    if found is None or share > _MILLION:
        raise CommandFailed(Exit.USAGE, f"--loss: {text!r} is no share", "write it like 5% or 0.25%")
    return share


def _rate_bytes(text: str) -> int:
    """Return bytes a second.

    >>> _rate_bytes("1Mbit"), _rate_bytes("64kbit")
    (125000, 8000)
    """
    found = _RATE.fullmatch(text)
    rate = 0 if found is None else int(found.group(1)) * (_MILLION if found.group(2) == "M" else 1_000) // 8
    if rate < 1_000:
        raise CommandFailed(Exit.USAGE, f"--rate: {text!r} is no rate", "write it like 1Mbit or 64kbit, 8kbit at least")
    return rate
