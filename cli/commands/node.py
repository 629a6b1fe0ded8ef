"""`hansa node`: run the company's node, and ask it how the network stands (U21)."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final

import click

from cli import output, place
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.language import chosen as chosen_language
from cli.language import text
from cli.profile import Session, command_options, run

POLL_S: Final = 0.2
_REASONS: Final = {
    "starting": {"en": "the node is just starting", "zh-CN": "节点正在启动"},
    "no_quorum": {
        "en": "too few other nodes are reachable: hansa node why",
        "zh-CN": "可连到的其他节点太少：hansa node why",
    },
    "syncing": {"en": "the node fetches blocks it missed; wait", "zh-CN": "节点正在获取缺少的区块；请等待"},
    "behind": {
        "en": "the other nodes are ahead and no block comes from them: hansa node why",
        "zh-CN": "其他节点已领先，且没有从它们获得区块：hansa node why",
    },
    "learner": {
        "en": "the node follows without a vote: hansa node why",
        "zh-CN": "节点只跟随、不投票：hansa node why",
    },
    "halted": {"en": "the node stopped taking part: its log says why", "zh-CN": "节点已停止参与：原因见其日志"},
    "disk": {"en": "free disk space on the data directory", "zh-CN": "请释放数据目录所在磁盘的空间"},
    "clock": {"en": "set the clock of this machine", "zh-CN": "请校准本机时钟"},
}
"""What keeps a node from serving well -> what to do (U61)."""
_NEXT: Final = {"en": "Next: {step}", "zh-CN": "下一步：{step}"}


@click.group("node")
def command() -> None:
    """Run this company's node and look at it.

    \b
    hansa node status
    hansa node why
    """


@command.command("run")
@click.option("--config", type=click.Path(dir_okay=False), help="Configuration; node.toml of the home if left out.")
@place.home_option
def run_node(config: str | None, home: str | None) -> None:
    """Run the node in the foreground until SIGTERM or Ctrl-C.

    Configuration: this file, then HANSA_<SECTION>_<KEY> from the environment. Logs go to stderr.

    \b
    hansa node run --config node.toml
    """
    from node.app import serve

    path = Path(config) if config else place.existing_home(home) / place.NODE_FILE
    if not path.exists():
        raise CommandFailed(
            Exit.USAGE, f"there is no {path}", "make a home with hansa init, or name a file with --config"
        )
    raise click.exceptions.Exit(serve(path))


@command.command()
@click.option("--wait", "wait_s", type=float, default=0.0, help="Wait at most this many seconds until it is ready.")
@command_options
def status(session: Session, wait_s: float) -> None:
    """Print where the node and the network stand, and what keeps it from being ready.

    When blocks that are due do not come, it also says what hansa node why says: who is missing, where everybody stands,
    which timer runs, and what to do.

    \b
    hansa node status
    hansa node status --wait 30
    """

    async def work(client: Client) -> dict[str, Any]:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                found = await client.get("v1/status", retry=not wait_s)
                if not found["not_ready"] or time.monotonic() >= deadline:
                    return {**found, "why": await _why(client) if found.get("stalled") else None}
            except CommandFailed as failure:
                if failure.code != Exit.UNAVAILABLE or time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(POLL_S)

    found = run(work, session)
    output.one(
        found,
        session.output,
        [
            ("network", f"{found['network']}{'' if found['production'] else ' (development)'}"),
            ("company", found["company"]["name"]),
            ("node", f"{found['node']}, version {found['version']}, protocol {found['protocol']}"),
            ("height", f"{found['height_committed']} committed, {found['height_executed']} executed"),
            (
                "agreement",
                f"{found['reachable']} of {found['members']} members reachable, {found['quorum']} needed",
            ),
            ("view", f"{found['view']} of epoch {found['epoch']} ({found['mode']})"),
            ("ready", "yes" if not found["not_ready"] else f"no: {', '.join(found['not_ready'])}"),
            ("chain id", found["chain_id"]),
        ],
        found["node"],
    )
    if session.talks:
        if found["why"]:
            for line in _told(found["why"]):
                output.say(line)
        else:
            output.say(found["sentence"])
        for reason in found["not_ready"]:
            output.say(text(_NEXT).format(step=text(_REASONS.get(reason, {"en": reason}))))
    if wait_s and found["not_ready"]:
        code = Exit.NO_QUORUM if "no_quorum" in found["not_ready"] else Exit.UNAVAILABLE
        raise CommandFailed(
            code, f"the node is not ready after {wait_s:g} s: {', '.join(found['not_ready'])}", "hansa node why"
        )


async def _why(client: Client) -> dict[str, Any] | None:
    """Return the whole answer to "why is nothing happening", or None: without a token there is the status only."""
    try:
        return await client.get("v1/consensus/why", {"lang": chosen_language()})
    except CommandFailed:
        return None


def _told(found: dict[str, Any]) -> list[str]:
    """Return the answer to "why is nothing happening" as a person reads it."""
    rows = [[member["company"]["name"], member["link"], member["seen"]] for member in found["members"]]
    table = output.render(rows, ["COMPANY", "LINK", "LAST SEEN"], indent="  ")
    return [found["headline"], table, found["state"], found["next"]]


@command.command()
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
@click.option("--keep-blocks", type=click.IntRange(min=1), help="Blocks to keep; storage.keep_blocks if left out.")
@click.option("--keep-days", type=click.IntRange(min=1), help="Days to keep; storage.keep_days if left out.")
@click.option("--config", type=click.Path(dir_okay=False), help="Configuration; node.toml of the home if left out.")
@place.home_option
def prune(dry_run: bool, keep_blocks: int | None, keep_days: int | None, config: str | None, home: str | None) -> None:
    """Delete old blocks, receipts and events of a stopped node, and give their space back.

    The state of today stays, and so does what other nodes may still need. Books and proof packs need every event, so
    export them first.

    \b
    hansa node prune --dry-run
    hansa node prune --keep-blocks 20000
    """
    from node.app import START_ERRORS, StartRefused, prune_stopped
    from node.config import load_config

    path = Path(config) if config else place.existing_home(home) / place.NODE_FILE
    try:
        done = prune_stopped(load_config([path], os.environ), keep_blocks, keep_days, dry_run=dry_run)
    except (StartRefused, *START_ERRORS) as error:
        text, _, step = str(error).partition("; ")
        raise CommandFailed(Exit.FAILED, text, step or "hansa doctor") from None
    plan = done.plan
    verb = "would go" if dry_run else "went"
    if not plan.blocks:
        click.echo(f"nothing to prune: blocks {plan.oldest} to {plan.tip} are kept")
    else:
        click.echo(f"blocks {plan.oldest} to {plan.bound - 1} {verb}: {plan.payload_bytes} bytes of transactions")
    if plan.limit:
        click.echo(f"more is kept than the rule asks for: {plan.limit}")
    if dry_run:
        click.echo(f"the chain store has {done.before_bytes} bytes")
    else:
        click.echo(f"the chain store has {done.after_bytes} bytes, it had {done.before_bytes}")


@command.command()
@command_options
def why(session: Session) -> None:
    """Say why nothing is happening: who is missing, what is awaited, and the next step.

    \b
    hansa node why
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/consensus/why", {"lang": chosen_language()})

    found = run(work, session)
    if not session.talks:
        output.one(found, session.output, [], found["headline"])
        return
    for line in _told(found):
        click.echo(line)


@command.command()
@command_options
def peers(session: Session) -> None:
    """List the members as this node sees them.

    \b
    hansa node peers
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/network")

    found = run(work, session)
    rows = [
        [
            member["company"]["name"],
            member["role"],
            "this node"
            if member["self"]
            else "connected"
            if member["connected"]
            else member["problem"] or "no connection",
            str(member["height"]),
            "" if member["round_trip_ms"] is None else f"{member['round_trip_ms']} ms",
            member["address"],
            member["fault"],
        ]
        for member in found["members"]
    ]
    document = {"schema": "hansa.peers/1", "items": found["members"], "sentence": found["sentence"]}
    output.emit(
        document, session.output, rows, ["COMPANY", "ROLE", "LINK", "HEIGHT>", "ROUND TRIP>", "ADDRESS", "LAST FAULT"]
    )
