"""`hansa company`: who is on this network, and how companies join, leave and change their keys (S22-S27).

Every change is a governance transaction that the companies vote on; `--dry-run` asks the node what it would do to
members and quorum, and sends nothing (P116).
"""

from __future__ import annotations

import secrets
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import companies, governing, output, place
from cli.acting import Actor
from cli.client import Client
from cli.commands import lost_keys
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.governing import PROPOSAL_BLOCKS, Home
from cli.profile import Session, command_options, run
from cli.proposing import (
    blocks_option,
    decided,
    decode,
    despite_option,
    dry_option,
    key_file_option,
    propose,
    refuse_to_stop,
    show_change,
    until,
)
from cli.writing import Writing, write_options
from ledger.codec import encode
from ledger.governance.records import Expel, FaultPolicy, Resume, Rotation, Suspend

if TYPE_CHECKING:
    from ledger.proof import ResultProof


@click.group("company")
def command() -> None:
    """Companies of the network: list them, invite one, vote, leave, rotate keys.

    \b
    hansa company list
    hansa company invite new.invite --role trader
    hansa company proposals
    """


@command.command("list")
@place.height_option
@command_options
@place.list_options
def list_(session: Session, at_height: int | None) -> None:
    """List the companies with their ids, roles and status.

    \b
    hansa company list
    hansa company list --columns name,vote --filter status=active
    hansa company list --at-height 12 -o json
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/companies", place.height_param(at_height))

    found = run(work, session)
    rows = [
        [
            item["id"],
            item["name"],
            ", ".join(item["roles"]),
            item["status"],
            "this company" if item["own"] else "member" if item["member"] else "",
        ]
        for item in found["items"]
    ]
    output.emit(found, session.output, rows, ["ID", "NAME", "ROLES", "STATUS", "VOTE"])
    if session.talks:
        output.say(f"{len(rows)} companies at height {found['height']}")


@command.command()
@command_options
def proposals(session: Session) -> None:
    """List what companies proposed, newest first, with the votes that count now.

    \b
    hansa company proposals
    """

    async def work(client: Client) -> dict[str, Any]:
        return await client.get("v1/proposals")

    found = run(work, session)
    rows = [
        [
            item["id"],
            item["kind"],
            ", ".join(company["name"] for company in item["about"]),
            item["company"]["name"],
            item["status"],
            f"{len(item['approving'])} of {item['quorum']}",
        ]
        for item in found["items"]
    ]
    output.emit(found, session.output, rows, ["PROPOSAL", "KIND", "ABOUT", "BY", "STATUS", "APPROVED"])


@command.command()
@click.option("--save", type=click.Path(dir_okay=False), help="Write how they ended to a file for a newcomer.")
@command_options
def epochs(session: Session, save: str | None) -> None:
    """List the epochs: from which height on who decides.

    \b
    hansa company epochs
    hansa company epochs --save league.epochs
    """

    async def work(client: Client) -> tuple[dict[str, Any], tuple[ResultProof, ...]]:
        told: dict[str, Any] = await client.get("v1/epochs")
        return told, await _node_records(client, told) if save else ()

    found, nodes = run(work, session)
    if save:
        _save_ends(found, nodes, Path(save))
    rows = [
        [
            str(item["epoch"]),
            str(item["first_height"]),
            str(len(item["members"])),
            str(item["quorum"]),
            ", ".join(member["company"]["name"] for member in item["members"]),
        ]
        for item in found["items"]
    ]
    output.emit(found, session.output, rows, ["EPOCH", "FROM HEIGHT", "MEMBERS", "QUORUM", "COMPANIES"])
    if session.talks:
        output.say(f"epoch {found['epoch']} decides now")


@command.command()
@click.argument("file", metavar="EPOCHS", type=click.Path(dir_okay=False))
@click.option("--home", type=click.Path(file_okay=False), help="Company home; HANSA_HOME or the profile's if left out.")
def trust(file: str, home: str | None) -> None:
    """Take the way from the genesis file of this home to the present members, checked step by step.

    A node that is far behind may then take the state of a later epoch instead of every block before it, and finds the
    members even if all of them have other TLS keys than the genesis file says.

    \b
    hansa company trust league.epochs
    """
    from cli.trust import require
    from ledger.governance.follow import follow, trust_genesis
    from node.core.ends import proven_nodes
    from node.identity.joining import epochs_file_codec
    from node.store.ends import EpochEnds

    folder = place.existing_home(home)
    given = decode(file, epochs_file_codec.decode, "a file of epoch ends")
    reached = follow(trust_genesis(require(None, str(folder)).document), given.ends)
    if isinstance(reached, str):
        raise CommandFailed(Exit.FINDINGS, f"{file}: {reached}", "ask another company for the file")
    nodes = 0
    if given.nodes:
        epoch = given.nodes[0].certificate.vote.epoch
        then = follow(trust_genesis(require(None, str(folder)).document), given.ends[:epoch])
        proven = then if isinstance(then, str) else proven_nodes(given.nodes, then)
        if isinstance(proven, str):
            raise CommandFailed(Exit.FINDINGS, f"{file}: {proven}", "ask another company for the file")
        nodes = len(proven)
    folder_of_ends = EpochEnds(place.load_node(folder / place.NODE_FILE).config.data_dir)
    kept = folder_of_ends.adopt(given.ends)
    if nodes:
        folder_of_ends.keep_nodes(given.nodes)
    click.echo(f"epoch {reached.epoch} from height {reached.first_height} on, {len(reached.members)} members")
    output.say(f"{kept} epoch ends and {nodes} node records are kept; a node that runs reads them at its next start")


# -- joining -------------------------------------------------------------------------------------------------------


@command.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--role", "roles", multiple=True, default=("trader",), show_default=True, help="Role of the new company.")
@blocks_option
@write_options
def invite(writing: Writing, file: str, roles: tuple[str, ...], blocks: int) -> None:
    """Vouch for a company that is to join: writes FILE, which it needs for its request.

    Hand FILE to the newcomer and to nobody else: it holds a secret.

    \b
    hansa company invite new.invite --role trader
    """
    from node.identity.joining import SECRET_BYTES, InviteFile

    secret = secrets.token_bytes(SECRET_BYTES)
    if Path(file).exists():
        raise CommandFailed(Exit.CONFLICT, f"{file} exists; an invite is never overwritten", "name another file")

    async def arguments(actor: Actor) -> Sequence[Any]:
        expires = await until(actor.client, blocks)
        made = InviteFile(actor.chain_id, secret, actor.wallet.company_id, tuple(sorted(set(roles))), expires)
        place.write_file(Path(file), encode(made))
        return made.invite_hash, made.roles, made.expires_height

    writing.carry_out(
        governing.act("invite", writing.session.wallet()), arguments, lambda _: f"invited; hand over {file}"
    )


@command.command()
@click.argument("invite_file", metavar="INVITE", type=click.Path(dir_okay=False))
@click.argument("file", type=click.Path(dir_okay=False))
@key_file_option
@click.option("--home", type=click.Path(file_okay=False), help="Company home; HANSA_HOME or the profile's if left out.")
def request(invite_file: str, file: str, key_file: str | None, home: str | None) -> None:
    """Ask to join: writes FILE from this company's home and the INVITE of its sponsor. No node is needed.

    All keys of the company prove that they are held; its officers sign. FILE goes to the sponsor.

    \b
    hansa company request new.invite new.request
    """
    from cli.wallet import Wallet
    from node.identity.joining import invite_file_codec

    folder = place.existing_home(home)
    invited = decode(invite_file, invite_file_codec.decode, "an invite")
    made = governing.join_request(Home(folder, key_file), Wallet(folder), invited)
    place.write_file(Path(file), encode(made))
    click.echo(made.company_id)
    output.say(f"Next, at the sponsor: hansa company add {file}")


@command.command()
@click.argument("file", metavar="REQUEST", type=click.Path(dir_okay=False))
@click.option("--home", type=click.Path(file_okay=False), help="Company home; HANSA_HOME or the profile's if left out.")
def entry(file: str, home: str | None) -> None:
    """Put the newcomer of a REQUEST into this company's directory: name, identifiers and address.

    The node believes the entry once the company is registered with the same commitment.

    \b
    hansa company entry new.request
    """
    from node.identity.directory import DirectoryRefused, parse_directory, write_directory
    from node.identity.joining import request_file_codec

    asked = decode(file, request_file_codec.decode, "a join request")
    path = place.load_node(place.existing_home(home) / place.NODE_FILE).config.directory_file
    try:
        known = parse_directory(path.read_text(encoding="utf-8"), str(path)).entries
    except (OSError, UnicodeDecodeError, DirectoryRefused) as error:
        raise CommandFailed(Exit.USAGE, f"{path}: {error}", "hansa genesis install puts it there") from None
    entries = {**known, asked.entry.id: asked.entry}
    place.write_file(path, write_directory(list(entries.values())).encode("utf-8"))
    click.echo(f"{asked.entry.name} ({asked.entry.id})")


@command.command()
@click.argument("file", metavar="REQUEST", type=click.Path(dir_okay=False))
@dry_option
@despite_option
@blocks_option
@write_options
def add(writing: Writing, file: str, dry_run: bool, despite_missing: bool, blocks: int) -> None:
    """Propose a company whose REQUEST this company invited; q companies must approve.

    \b
    hansa company add new.request --dry-run
    hansa company add new.request
    """
    from node.identity.joining import request_file_codec

    asked = decode(file, request_file_codec.decode, "a join request")

    async def payload(actor: Actor) -> bytes:
        if asked.chain_id != actor.chain_id:
            raise CommandFailed(Exit.USAGE, f"{file} is for another network", "ask for an invite of this one")
        return encode(asked.add)

    propose(writing, "add", payload, blocks, dry_run, despite_missing)


@command.command()
@key_file_option
@write_options
def ready(writing: Writing, key_file: str | None) -> None:
    """Say that this node has caught up and holds the agreed key: the next epoch counts its vote.

    \b
    hansa company ready
    """

    async def arguments(actor: Actor) -> Sequence[Any]:
        found = await actor.client.get("v1/admission")
        if not found["in_sync"]:
            raise CommandFailed(
                Exit.UNAVAILABLE,
                "this node has not caught up yet",
                "wait: hansa node status --wait 60; if it stays so, hansa node why",
            )
        return governing.readiness(Home(writing.home, key_file), actor.chain_id, found)

    writing.carry_out(governing.act("ready", writing.session.wallet()), arguments, decided)


# -- votes ---------------------------------------------------------------------------------------------------------


def _approve(
    writing: Writing,
    proposal: str,
    method: str,
    vote: Callable[[Actor, bytes], Sequence[Any]],
    dry_run: bool,
    despite_missing: bool,
) -> None:
    """Send an approval, unless what is approved would stop the network; with `dry_run` show what it would do.

    Nobody knows before the block which approval decides, so each is looked at as if it did.
    """

    async def change(actor: Actor) -> tuple[str, bytes]:
        found = await _proposal(actor.client, proposal)
        return found["kind"], b64decode(found["payload"])

    if dry_run:
        show_change(writing, change)
        return

    async def arguments(actor: Actor) -> Sequence[Any]:
        found = await _proposal(actor.client, proposal)
        if not despite_missing:
            await refuse_to_stop(actor.client, found["kind"], b64decode(found["payload"]))
        return vote(actor, bytes.fromhex(found["id"]))

    writing.carry_out(governing.act(method, writing.session.wallet()), arguments, decided)


@command.command()
@click.argument("proposal")
@dry_option
@despite_option
@write_options
def approve(writing: Writing, proposal: str, dry_run: bool, despite_missing: bool) -> None:
    """Vote for a proposal of another company. With q approvals it takes effect at once.

    It is not sent if too few of the members then can vote now: once accepted, such a change cannot be taken back.

    \b
    hansa company approve 8d1f… --dry-run
    hansa company approve 8d1f…
    """
    _approve(writing, proposal, "vote", lambda _, identity: (identity, True), dry_run, despite_missing)


@command.command()
@click.argument("proposal")
@write_options
def refuse(writing: Writing, proposal: str) -> None:
    """Vote against a proposal of another company.

    \b
    hansa company refuse 8d1f…
    """

    async def arguments(actor: Actor) -> Sequence[Any]:
        return await _proposal_id(actor.client, proposal), False

    writing.carry_out(governing.act("vote", writing.session.wallet()), arguments, decided)


@command.command()
@click.argument("proposal")
@write_options
def withdraw(writing: Writing, proposal: str) -> None:
    """Take back a proposal of this company.

    \b
    hansa company withdraw 8d1f…
    """

    async def arguments(actor: Actor) -> Sequence[Any]:
        return (await _proposal_id(actor.client, proposal),)

    writing.carry_out(governing.act("withdraw", writing.session.wallet()), arguments, lambda _: "withdrawn")


@command.command()
@click.argument("proposal")
@dry_option
@despite_option
@write_options
def endorse(writing: Writing, proposal: str, dry_run: bool, despite_missing: bool) -> None:
    """Approve with the signatures of this company's officers: removing a company counts only these (S26).

    It is not sent if too few of the members then can vote now: once accepted, such a change cannot be taken back.

    \b
    hansa company endorse 8d1f… --dry-run
    hansa company endorse 8d1f…
    """

    def signed(actor: Actor, identity: bytes) -> Sequence[Any]:
        home = Home(writing.home)
        return identity, governing.endorsement(home, actor.chain_id, identity, actor.wallet.company_id)

    _approve(writing, proposal, "endorse", signed, dry_run, despite_missing)


# -- leaving and keys ----------------------------------------------------------------------------------------------


@command.command()
@click.argument("names", metavar="COMPANY…", nargs=-1, required=True)
@dry_option
@despite_option
@blocks_option
@write_options
def remove(writing: Writing, names: tuple[str, ...], dry_run: bool, despite_missing: bool, blocks: int) -> None:
    """Propose to expel a company; the others endorse it with their officers' keys.

    \b
    hansa company remove "Qiming Parts" --dry-run
    """

    async def payload(actor: Actor) -> bytes:
        known = await companies.fetch(actor.client)
        return encode(Expel(tuple(sorted({known.id_of(name) for name in names}))))

    propose(writing, "expel", payload, blocks, dry_run, despite_missing)


@command.command("leave")
@dry_option
@despite_option
@write_options
def leave_(writing: Writing, dry_run: bool, despite_missing: bool) -> None:
    """Leave the network with this company; the officers' keys in this home sign. No vote is needed (S26).

    It is not sent if too few of the others can vote now: the chain would let the company go, and then stop for good.

    \b
    hansa company leave --dry-run
    """

    async def payload(actor: Actor) -> bytes:
        return encode(governing.leave(Home(writing.home), actor.chain_id, actor.wallet.company_id))

    propose(writing, "leave", payload, PROPOSAL_BLOCKS, dry_run, despite_missing)


@command.command()
@click.option("--by-officers", is_flag=True, help="The old key is compromised: the officers' keys sign instead of it.")
@click.option("--tls", is_flag=True, help="The TLS key of the node's links instead; no vote is needed.")
@click.option("--end-old", is_flag=True, help="With --tls: the older of two registered TLS keys no longer counts.")
@dry_option
@blocks_option
@key_file_option
@write_options
def rotate(
    writing: Writing, by_officers: bool, tls: bool, end_old: bool, dry_run: bool, blocks: int, key_file: str | None
) -> None:
    """Replace the consensus key of this node: makes the next key and its journal, and proposes it.

    The old key votes up to the last block of its epoch, the new one from the next block on (S24). The node takes the
    key from its keystore when the companies agreed; one whose keystore is opened by a prompt is restarted before.
    With --by-officers the new key counts after hansa company ready.

    With --tls it is the key of the node's links (S23). It counts at once beside the old one, and the node shows it from
    then on; links that are up stay. With --end-old the old one goes, once every node has the block.

    \b
    hansa company rotate --dry-run
    hansa company rotate
    hansa company rotate --tls
    """
    if tls:
        if by_officers:
            raise CommandFailed(
                Exit.USAGE,
                "--by-officers is for consensus keys",
                "leave it out: a company's own people change its TLS key",
            )
        _rotate_tls(writing, end_old, dry_run, key_file)
        return
    if end_old:
        raise CommandFailed(Exit.USAGE, "--end-old is for TLS keys", "add --tls, or leave it out")

    async def payload(actor: Actor) -> bytes:
        voting, home = await governing.voting_key(actor), Home(writing.home, key_file)
        return encode(governing.rotation(home, actor.chain_id, voting, keep=not dry_run, by_officers=by_officers))

    propose(writing, "rotate_consensus", payload, blocks, dry_run)


def _rotate_tls(writing: Writing, end_old: bool, dry_run: bool, key_file: str | None) -> None:
    """Register the next TLS key of the own node beside the present one, or with `end_old` the newest alone."""

    async def payload(actor: Actor) -> bytes:
        found = await actor.client.get("v1/admission")
        home = Home(writing.home, key_file)
        return encode(governing.tls_rotation(home, actor.chain_id, found, keep=not dry_run, end_old=end_old))

    propose(writing, "rotate_tls", payload, PROPOSAL_BLOCKS, dry_run)


@command.command()
@click.argument("name", metavar="COMPANY")
@click.option("--end", is_flag=True, help="Let it propose blocks again.")
@dry_option
@blocks_option
@write_options
def rest(writing: Writing, name: str, end: bool, dry_run: bool, blocks: int) -> None:
    """Propose that a company no longer proposes blocks; it goes on voting (P80). For a node at fault, or a slow one.

    \b
    hansa company rest "Qiming Parts" --dry-run
    """

    async def payload(actor: Actor) -> bytes:
        return encode(Rotation((await companies.fetch(actor.client)).id_of(name), end))

    propose(writing, "rotation", payload, blocks, dry_run)


@command.command()
@click.option(
    "--rest/--no-rest", "rests", required=True, help="A proven fault ends the right to propose blocks, or not."
)
@blocks_option
@write_options
def faults(writing: Writing, rests: bool, blocks: int) -> None:
    """Propose what follows when a company's node is proven to have broken the rules of voting (P125).

    With --rest it no longer proposes blocks from the next epoch on, and goes on voting, until it has a new consensus
    key. Without it, the fault is on the chain and nothing follows.

    \b
    hansa company faults --rest
    """

    async def payload(_: Actor) -> bytes:
        return encode(FaultPolicy(rests))

    propose(writing, "fault_policy", payload, blocks, False)


@command.command()
@click.argument("name", metavar="COMPANY")
@blocks_option
@write_options
def suspend(writing: Writing, name: str, blocks: int) -> None:
    """Propose to freeze the transactions of a company: f+1 companies or a regulator for 24 hours, q for good (S25).

    \b
    hansa company suspend "Qiming Parts"
    """

    async def payload(actor: Actor) -> bytes:
        return encode(Suspend((await companies.fetch(actor.client)).id_of(name)))

    propose(writing, "suspend", payload, blocks, dry_run=False)


@command.command()
@click.argument("name", metavar="COMPANY")
@blocks_option
@write_options
def resume(writing: Writing, name: str, blocks: int) -> None:
    """Propose to end the suspension of a company.

    \b
    hansa company resume "Qiming Parts"
    """

    async def payload(actor: Actor) -> bytes:
        return encode(Resume((await companies.fetch(actor.client)).id_of(name)))

    propose(writing, "resume", payload, blocks, dry_run=False)


# -- parts ---------------------------------------------------------------------------------------------------------


async def _node_records(client: Client, found: dict[str, Any]) -> tuple[ResultProof, ...]:
    """Return proofs of the node records of the members decided last, all as of one height; none before the first."""
    from cli.trust import proof_bytes
    from ledger.proof import result_codec
    from ledger.registry.lookup import node_key

    proofs: list[ResultProof] = []
    for member in found["items"][-1]["members"]:
        at = {"at_height": str(proofs[0].height)} if proofs else {}
        answer = await client.get(f"v1/state/{node_key(member['node']).hex()}", {"proof": "1", **at})
        raw = proof_bytes(answer.get("proof"))
        if raw is None and not proofs:
            return ()
        if raw is None:
            raise CommandFailed(
                Exit.UNAVAILABLE, f"height {proofs[0].height} is not held any more", "try again: blocks came in between"
            )
        proofs.append(result_codec.decode(raw))
    return tuple(proofs)


def _save_ends(found: dict[str, Any], nodes: tuple[ResultProof, ...], path: Path) -> None:
    """Write the epoch ends of an answer to a file, and where the members are; whoever reads them checks."""
    from ledger.block import header_codec
    from ledger.governance.follow import epoch_end_codec
    from node.identity.joining import EpochsFile

    raw = [b64decode(item["end"]) for item in found["items"] if item["end"]]
    ends = tuple(epoch_end_codec.decode(item) for item in raw)
    headers = [*(proof.header for proof in nodes[:1]), *(end.header for end in ends[:1])]
    if not headers:
        raise CommandFailed(Exit.NOT_FOUND, "nothing is certified yet: the genesis file is enough", "leave --save out")
    place.write_file(path, encode(EpochsFile(header_codec.decode(headers[0]).chain_id, ends, nodes)))


async def _proposal_id(client: Client, text: str) -> bytes:
    """Return the id of the proposal that `text` begins."""
    return bytes.fromhex((await _proposal(client, text))["id"])


async def _proposal(client: Client, text: str) -> dict[str, Any]:
    """Return the proposal whose id begins with `text`; refuse what fits none, or several."""
    items: list[dict[str, Any]] = (await client.get("v1/proposals"))["items"]
    fitting = [item for item in items if item["id"].startswith(text.lower())]
    if len(fitting) != 1:
        raise CommandFailed(
            Exit.NOT_FOUND if not fitting else Exit.USAGE,
            f"{text!r} fits {len(fitting)} proposals",
            "hansa company proposals shows their ids; write more of it",
        )
    return fitting[0]


lost_keys.add_to(command)
