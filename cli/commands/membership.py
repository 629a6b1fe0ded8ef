"""`hansa cluster rotate-key`, `retire`: companies of a local cluster change their network by real transactions (C18).

Every company of the cluster proposes and votes with the people of its own home, at its own node; nothing is skipped.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import click

from cli import governing
from cli.acting import Actor
from cli.commands.links import Option, Resolve
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.governing import PROPOSAL_BLOCKS, Home
from cli.local import LocalNode, nodes_of
from cli.wallet import Wallet
from cli.writing import event_of
from ledger.codec import encode


def add_to(group: click.Group, which: Option, folder: Option, resolve: Resolve) -> None:
    """Add the commands to `hansa cluster`; the decorators and `resolve` say which cluster is meant."""

    @group.command("rotate-key")
    @click.argument("node")
    @click.option("--tls", is_flag=True, help="The TLS key of the node's links instead; no vote is needed.")
    @click.option("--end-old", is_flag=True, help="With --tls: the older of two registered TLS keys no longer counts.")
    @which
    @folder
    def rotate_key(node: str, tls: bool, end_old: bool, name: str | None, chosen: str | None) -> None:
        """Replace the consensus key of a node; the other companies of the cluster approve.

        With --tls it is the key of the node's links (S23): the new one counts at once beside the old one, which
        --end-old takes away afterwards. docs/deploy.md, section 8, has the same steps for a node of your own.

        \b
        hansa cluster rotate-key qiming
        hansa cluster rotate-key qiming --tls
        hansa cluster rotate-key qiming --tls --end-old
        """
        if end_old and not tls:
            raise CommandFailed(Exit.USAGE, "--end-old is for TLS keys", "add --tls, or leave it out")
        directory, plan = resolve(name, chosen)
        nodes = nodes_of(directory, plan)
        if tls:
            click.echo(asyncio.run(_rotate_tls(nodes, node, end_old=end_old)))
        else:
            click.echo(asyncio.run(_change(nodes, node, "rotate_consensus")))

    @group.command("retire")
    @click.argument("node")
    @which
    @folder
    def retire(node: str, name: str | None, chosen: str | None) -> None:
        """Let a company leave the network; its officers sign, nobody votes (S26).

        \b
        hansa cluster retire qiming
        """
        directory, plan = resolve(name, chosen)
        click.echo(asyncio.run(_change(nodes_of(directory, plan), node, "leave")))


async def _change(nodes: list[LocalNode], name: str, kind: str) -> str:
    """Propose a change for the node `name`, let the others vote until it is accepted, and say what was decided."""
    own = _named(nodes, name)
    async with AsyncExitStack() as stack:

        async def actor_of(node: LocalNode) -> Actor:
            actor = Actor(await stack.enter_async_context(node.client()), Wallet(node.home))
            await actor.open()
            return actor

        actor = await actor_of(own)
        payload = await _payload(actor, own.home, kind)
        expires = int((await actor.client.get("v1/status"))["height_committed"]) + PROPOSAL_BLOCKS
        found = await actor.do(governing.act("propose", actor.wallet), (kind, payload, expires))
        proposal = bytes.fromhex(found["id"])
        for node in nodes:
            if event_of(found, "EpochDecided"):
                break
            if node is not own:
                try:
                    voter = await actor_of(node)
                except CommandFailed as failure:
                    if failure.code != Exit.UNAVAILABLE:
                        raise
                    continue  # it is down: the others may be enough
                found = await voter.do(governing.act("vote", voter.wallet), (proposal, True))
    epoch = event_of(found, "EpochDecided")
    if not epoch:
        raise CommandFailed(
            Exit.NO_QUORUM,
            f"proposal {proposal.hex()} is open: too few companies approved",
            "start the nodes that are down",
        )
    return f"epoch {epoch['epoch']} with {epoch['members']} members begins at height {epoch['first_height']}"


async def _rotate_tls(nodes: list[LocalNode], name: str, *, end_old: bool) -> str:
    """Register the next TLS key of the node `name`, or end the older one, and say which keys count from now on."""
    own = _named(nodes, name)
    async with own.client() as client:
        actor = Actor(client, Wallet(own.home))
        await actor.open()
        present = await client.get("v1/admission")
        wanted = governing.tls_rotation(Home(own.home), actor.chain_id, present, keep=True, end_old=end_old)
        expires = int((await client.get("v1/status"))["height_committed"]) + PROPOSAL_BLOCKS
        done = await actor.do(governing.act("propose", actor.wallet), ("rotate_tls", encode(wanted), expires))
    keys = ", ".join(pin.spki_sha256.hex()[:16] for pin in wanted.tls)
    return f"{name} shows the TLS key {keys.rpartition(', ')[2]} from height {done['height']} on; registered: {keys}"


def _named(nodes: list[LocalNode], name: str) -> LocalNode:
    """Return the node of this name; refuse a name that the cluster does not have."""
    own = next((node for node in nodes if node.plan.name == name), None)
    if own is None:
        known = ", ".join(node.plan.name for node in nodes)
        raise CommandFailed(Exit.NOT_FOUND, f"no node is called {name!r}", f"known are {known}")
    return own


async def _payload(actor: Actor, home: Path, kind: str) -> bytes:
    if kind == "leave":
        return encode(governing.leave(Home(home), actor.chain_id, actor.wallet.company_id))
    return encode(governing.rotation(Home(home), actor.chain_id, await governing.voting_key(actor), keep=True))
