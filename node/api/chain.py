"""Operations on the chain: blocks, transactions, submission, state with proofs.

A block is public to every member, but what a transaction did is shown to its parties only (F3): the companies
that signed it and those its events name. Others see that it is there, because its id is part of the block.
"""

from __future__ import annotations

import asyncio
import re
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ledger.certificate import bitmap_indexes, quorum
from ledger.codec import encode
from ledger.governance.act import GOVERNANCE
from ledger.receipt import STATUS_OK, Receipt
from ledger.transaction import Transaction
from node.access.feed import named, parties_of
from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.history import readers_of
from node.api.ports import BlockData, CertifiedProof, HeadData, NodeService, TransactionData, TxState
from node.api.problems import PROBLEMS, FieldError, Problem, height_pruned, kind_of, not_found
from node.api.query import page_cursor, read_page_cursor
from node.api.rows import Tables
from node.api.sentences import node_sentence, reachable_members
from node.core.effects import SubmitResult

BATCH_MAX: Final = 256
FULL_RETRY_S: Final = 1
"""When a sender that was refused for want of room may ask again: some blocks later."""
KEY_BYTES_MAX: Final = 511
_PROGRAM_KEYS: Final = (b"t", b"x", b"s", b"p")
"""First bytes of the keys that programs write (H5)."""
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HEIGHT: Final = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
_batch_decoder: Final = msgspec.msgpack.Decoder(list[bytes], strict=True)


# -- blocks


async def blocks(call: Call) -> Answer:
    """The newest blocks first, without their transactions."""
    service = call.service
    top = service.consensus().height
    if cursor := call.query.text("cursor"):
        _, key = read_page_cursor(cursor)
        if not _HEIGHT.fullmatch(key):
            raise Problem("invalid", "?cursor: not a cursor of this list")
        top = min(top, int(key) - 1)
    items: list[dict[str, Any]] = []
    height, limit = top, call.query.limit()
    while height >= service.oldest_height() and len(items) < limit:
        head = service.head(height)
        if head is None:
            break
        items.append(_head(head, service))
        height -= 1
    following = ""
    if items and height >= service.oldest_height():
        following = page_cursor(call.view.height, str(items[-1]["height"]))
    return Answer(content={"items": items}, next_cursor=following)


async def block(call: Call) -> Answer:
    """One block by height or id, with its certificate and its transactions."""
    service = call.service
    found = service.block(read_block_name(call.path["block"], service))
    if found is None:
        raise not_found()
    header, signers = found.header, _signers(found, service)
    return Answer(
        content={
            **_head(HeadData(block_id=found.block_id, header=header, certificate=found.certificate), service),
            "parent": header.parent_id.hex(),
            "tx_root": header.tx_root.hex(),
            "exec_height": header.exec_height,
            "exec_root": header.exec_root.hex(),
            "members_hash": header.members_hash.hex(),
            "params_hash": header.params_hash.hex(),
            "executed": found.receipts is not None,
            "header": b64encode(found.header_bytes).decode("ascii"),
            "certificate": {
                "view": found.certificate.vote.view,
                "epoch": found.certificate.vote.epoch,
                "signers": signers,
                "needed": len(found.certificate.signatures),
                "bytes": b64encode(encode(found.certificate)).decode("ascii"),
                "epochs": epoch_ends(service, found.certificate.vote.epoch),
            },
            "transactions": [
                _transaction_line(call, transaction, _receipt_at(found.receipts, position), header.height, position)
                for position, transaction in enumerate(found.transactions)
            ],
        },
    )


def read_block_name(text: str, service: NodeService) -> int | bytes:
    """Return a height or block id; "latest" is the highest committed block. Raises `not_found` for anything else."""
    if text == "latest":
        return service.consensus().height
    if _HEIGHT.fullmatch(text):
        height = int(text)
        if height < service.oldest_height():
            raise height_pruned(service.oldest_height(), f"Block {height} was asked for.")
        return height
    if _HASH.fullmatch(text):
        return bytes.fromhex(text)
    raise not_found()


def _head(head: HeadData, service: NodeService) -> dict[str, Any]:
    header = head.header
    members = service.consensus().members
    proposer = members[header.proposer].company_id if 0 <= header.proposer < len(members) else ""
    return {
        "height": header.height,
        "id": head.block_id.hex(),
        "time": shapes.instant(header.time_ms),
        "day": shapes.ledger_day(header.time_ms, service.utc_offset_min),
        "epoch": header.epoch,
        "view": head.certificate.vote.view,
        "proposer": shapes.company(proposer, service.names) if header.height else None,
        "tx_count": header.tx_count,
        "size_bytes": header.size_bytes,
        "signed_by": len(head.certificate.signatures),
        "members": len(members),
    }


def _signers(found: BlockData, service: NodeService) -> list[dict[str, str]]:
    members = service.consensus().members
    indexes = bitmap_indexes(found.certificate.signers, len(members)) or ()
    return [shapes.company(members[index].company_id, service.names) for index in indexes]


def _receipt_at(receipts: Sequence[Receipt] | None, position: int) -> Receipt | None:
    return receipts[position] if receipts is not None and position < len(receipts) else None


def _transaction_line(
    call: Call, transaction: Transaction, receipt: Receipt | None, height: int, position: int
) -> dict[str, Any]:
    """Return one line of a block: only the id for transactions that are none of the caller's business."""
    line: dict[str, Any] = {"id": transaction.tx_id.hex(), "position": position, "visible": False}
    if call.gate.sees(parties_of_transaction(call.service, transaction, receipt, height)):
        line.update(
            visible=True,
            contract=transaction.body.contract,
            method=transaction.body.method,
            companies=[
                shapes.company(company, call.service.names)
                for company in sorted({signer.company_id for signer in transaction.body.signers})
            ],
            outcome=_outcome(receipt),
        )
    return line


def _outcome(receipt: Receipt | None) -> str | None:
    if receipt is None:
        return None
    return "ok" if receipt.status == STATUS_OK else "failed"


def parties_of_transaction(
    service: NodeService, transaction: Transaction | None, receipt: Receipt | None, height: int
) -> tuple[str, ...]:
    """Return the companies a transaction of `height` concerns: its signers' and those of its events, sorted.

    What companies decide about their network concerns all of them, so the company of this node too (S22).
    """
    found = set() if transaction is None else {signer.company_id for signer in transaction.body.signers}
    if transaction is not None and transaction.body.contract == GOVERNANCE:
        found.add(service.company_id)
    if receipt is not None:
        for event in receipt.events:
            schema = service.event_fields(event, height)
            if schema is not None:
                parties = parties_of(schema, named(schema, event.fields))
                found.update((*parties, *readers_of(service, event.contract, parties)))
    return tuple(sorted(found))


# -- transactions


async def transaction(call: Call) -> Answer:
    """One transaction: what was asked, by whom, and what became of it; waits when asked to (U26)."""
    text = call.path["tx"]
    if not _HASH.fullmatch(text):
        raise not_found()
    tx_id = bytes.fromhex(text)
    known = call.service.transaction(tx_id)
    if known is not None and known.code == "height_pruned":
        raise height_pruned(call.service.oldest_height(), f"The transaction stands in block {known.height}.")
    found = _visible(call, known)
    wait_s = call.query.seconds("wait") or call.prefer_wait_s
    final = call.query.text("until") == "final"
    if wait_s and (found is None or not _settled(found, final)):
        ends = asyncio.get_running_loop().time() + wait_s
        found = _visible(call, await call.service.wait_transaction(tx_id, final=final, timeout_s=float(wait_s)))
        if found is None:  # unknown and invisible take the same time (S53)
            await asyncio.sleep(max(0.0, ends - asyncio.get_running_loop().time()))
    if found is None:
        raise not_found()
    content = transaction_content(call, found)
    if call.query.flag("proof"):
        proof = call.service.receipt_proof(tx_id)
        content["proof"] = None if proof is None else proof_content(proof, call.service)
    waited_out = bool(wait_s) and not _settled(found, final)
    return Answer(content=content, status=202 if waited_out else 200)


def _visible(call: Call, found: TransactionData | None) -> TransactionData | None:
    if found is None or not call.gate.sees(_parties(call, found)):
        return None
    return found


def _parties(call: Call, found: TransactionData) -> tuple[str, ...]:
    return parties_of_transaction(call.service, found.transaction, found.receipt, found.height)


def _settled(found: TransactionData, final: bool) -> bool:
    if found.state is TxState.PENDING:
        return False
    return not (final and found.state is TxState.COMMITTED)


def transaction_content(call: Call, found: TransactionData) -> dict[str, Any]:
    """Return all there is to say about a transaction the caller may see."""
    service = call.service
    content: dict[str, Any] = {"id": found.tx_id.hex(), "state": found.state.value}
    if found.height:
        content.update(
            height=found.height,
            position=found.position,
            time=shapes.instant(found.time_ms),
            final_height=found.final_height or None,
        )
    if found.code:
        content.update(code=found.code, detail=found.detail)
    if found.transaction is not None:
        body = found.transaction.body
        content.update(
            contract=body.contract,
            method=body.method,
            args=_arguments(service, body.contract, body.method, body.args),
            signers=[
                {
                    **shapes.person(signer.user_id, signer.company_id, service.people, service.names),
                    "capacity": signer.capacity,
                    "public_key": key.hex(),
                    "signature": signature.hex(),
                }
                for signer, (key, signature) in zip(body.signers, found.transaction.signatures, strict=True)
            ],
            nonce=body.nonce,
            valid_until_height=body.valid_until_height,
            gas_limit=body.gas_limit,
            envelope=b64encode(found.transaction.envelope).decode("ascii"),
        )
    if found.receipt is not None:
        content["receipt"] = _receipt(found.receipt, found, service)
        content["outcome"] = _outcome(found.receipt)
    return content


def _arguments(service: NodeService, contract: str, method: str, args: Sequence[Any]) -> list[dict[str, Any]]:
    program = service.interfaces.get(contract)
    schema = program.actions.get(method) if program is not None else None
    if schema is None or len(schema.params) != len(args):
        return [{"name": f"#{index + 1}", "type": "", "value": shapes.plain(value)} for index, value in enumerate(args)]
    values = {field.name: value for field, value in zip(schema.params, args, strict=True)}
    shown = shapes.typed(schema.params, values, service.currencies, service.names)
    return [{"name": field.name, "type": str(field.type), "value": shown[field.name]} for field in schema.params]


def _receipt(receipt: Receipt, found: TransactionData, service: NodeService) -> dict[str, Any]:
    events = []
    for index, event in enumerate(receipt.events):
        schema = service.event_fields(event, found.height)
        fields: Any = shapes.plain(event.fields)
        if schema is not None:
            fields = shapes.typed(schema, named(schema, event.fields), service.currencies, service.names)
        events.append(
            {
                "cursor": f"{found.height}.{found.position}.{index}",
                "contract": event.contract,
                "name": event.name,
                "fields": fields,
            }
        )
    return {
        "status": _outcome(receipt),
        "version": receipt.version,
        "gas_used": receipt.gas_used,
        "abort": shapes.abort(receipt),
        "events": events,
        "result": shapes.plain(receipt.result),
    }


def epoch_ends(service: NodeService, epoch: int) -> list[str]:
    """Return how the epochs before `epoch` ended, base64: the way from a genesis file to its members (P85)."""
    return [b64encode(encode(end)).decode("ascii") for end in service.epoch_ends()[:epoch]]


def proof_content(proof: CertifiedProof, service: NodeService) -> dict[str, Any]:
    """Return a proof as base64 with the heights it is about; `hansa verify` and the audit tool read the bytes."""
    head = service.head(proof.certified_by)
    return {
        "height": proof.height,
        "certified_by": proof.certified_by,
        "format": "ledger.proof/1",
        "bytes": b64encode(proof.data).decode("ascii"),
        "epochs": [] if head is None else epoch_ends(service, head.header.epoch),
    }


# -- submission


async def submit(call: Call) -> Answer:
    """Take one signed envelope; 202 while it waits, 200 when it is committed already (U26).

    Form, signatures, signers, nonce and quota are judged once, by the mempool (E16); its codes come back here.
    """
    ends = time.monotonic() + call.prefer_wait_s
    await call.service.turn((call.body,))  # the pool itself says whether there was room (E16)
    result = (await call.service.submit((call.body,)))[0]
    if result.code:
        _refuse(result)
    if call.prefer_wait_s:
        left_s = max(0.0, ends - time.monotonic())  # the time in the line is part of what the caller waits
        await call.service.wait_transaction(result.tx_id, final=False, timeout_s=left_s)
    found = call.service.transaction(result.tx_id)
    pending = found is None or found.state is TxState.PENDING
    content: dict[str, Any] = {"id": result.tx_id.hex(), "state": TxState.PENDING.value}
    if found is not None and call.gate.sees(_parties(call, found)):
        content = transaction_content(call, found)
    elif found is not None:
        content["state"] = found.state.value
    if pending:
        content.update(_warnings(call))
    return Answer(
        content=content,
        status=202 if pending else 200,
        location=f"/v1/transactions/{result.tx_id.hex()}",
        of_state=not pending,
    )


async def submit_batch(call: Call) -> Answer:
    """Take up to 256 envelopes as one MessagePack list; one result for each, in order (U26).

    A batch for which there is no room is not begun: the sender repeats all of it, and keeps no list of what was taken.
    """
    try:
        envelopes = _batch_decoder.decode(call.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Problem(
            "malformed",
            f"The body is not a MessagePack list of byte strings: {error}",
            next_step="Send one list of the signed envelopes, each as one byte string.",
        ) from None
    if not 1 <= len(envelopes) <= BATCH_MAX:
        raise Problem("too_large", f"{len(envelopes)} envelopes, 1 to {BATCH_MAX} are taken at once.")
    if not await call.service.turn(envelopes):
        raise Problem(
            "mempool_full",
            f"{len(envelopes)} transactions, and this company may have {call.service.room()} more waiting now.",
            next_step="Send the same batch again in a second: nothing of it was taken.",
            retry_after_s=FULL_RETRY_S,
        )
    items: list[dict[str, Any]] = []
    for result in await call.service.submit(envelopes):
        item: dict[str, Any] = {"id": result.tx_id.hex() or None, "state": TxState.PENDING.value}
        if result.code:
            item.update(state=TxState.REJECTED.value, code=result.code, detail=result.detail)
        items.append(item)
    rejected = sum(1 for item in items if item["state"] == TxState.REJECTED.value)
    content = {"items": items, "accepted": len(items) - rejected, "rejected": rejected}
    content.update(_warnings(call))
    return Answer(content=content, status=202, of_state=False)


def _refuse(result: SubmitResult) -> None:
    kind = kind_of(result.code)
    code = result.code if result.code in PROBLEMS else kind.code
    raise Problem(
        code,
        result.detail or result.code,
        errors=() if result.code in PROBLEMS else (FieldError("/" + result.code, result.code, result.detail),),
        tx_id=result.tx_id or None,
        retry_after_s=FULL_RETRY_S if kind.retryable else 0,
    )


def _warnings(call: Call) -> dict[str, Any]:
    """Return the no-quorum warning of U19 with the quorum sentence, or nothing."""
    now = call.service.consensus()
    if reachable_members(now) >= quorum(len(now.members)):
        return {}
    return {"warnings": ["no_quorum"], "sentence": node_sentence(now, call.service.names, call.language)}


# -- state


async def state(call: Call) -> Answer:
    """The value at a raw state key, or its absence, with a certified proof when asked (U25).

    That a key exists is known to every member of the network; what a row says is shown to its parties only (F3).
    """
    text = call.path["key"]
    if len(text) > 2 * KEY_BYTES_MAX or not _HEX.fullmatch(text):
        raise Problem(
            "invalid",
            "The key is not lower-case hexadecimal.",
            errors=(FieldError("/key", "invalid", "lower-case hexadecimal, at most 511 bytes"),),
        )
    key = bytes.fromhex(text)
    value = call.view.get(key)
    content: dict[str, Any] = {"key": text, "present": value is not None, "value": None}
    if value is not None:
        if key.startswith(_PROGRAM_KEYS):
            tables = Tables(call.view, call.service.interfaces, call.gate, call.engine.decoded)
            row = tables.at(key)
            place = tables.place(key)
            if row is None or place is None:
                raise not_found()
            schema = call.service.interfaces[place[0]].tables[place[1]]
            content["contract"], content["table"] = place
            content["row"] = shapes.typed(schema.fields, row.values, call.service.currencies, call.service.names)
        content["value"] = value.hex()
    if call.query.flag("proof"):
        proof = call.service.state_proof(key, call.query.integer("at_height"))
        if proof is not None and not _shows(call, key, proof.height):
            raise not_found()
        content["proof"] = None if proof is None else proof_content(proof, call.service)
    return Answer(content=content)


def _shows(call: Call, key: bytes, height: int) -> bool:
    """Tell whether the caller may see what a key held after `height`: the newest proof is about a state before that of
    the answer, in which others may have been the row's parties (F3)."""
    then = call.service.view_at(height)
    if not key.startswith(_PROGRAM_KEYS) or then is None or then.get(key) is None:
        return True
    return Tables(then, call.service.interfaces, call.gate, call.engine.decoded).at(key) is not None


HANDLERS: Final[Mapping[str, Handler]] = {
    "blocks": blocks,
    "block": block,
    "submit": submit,
    "submit_batch": submit_batch,
    "transaction": transaction,
    "state": state,
}
