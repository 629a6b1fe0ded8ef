"""Links over real TLS on loopback: who gets in, who is kept out, and what comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import ssl
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from consensus.messages import Heartbeat, Suspect
from ledger.crypto.ed25519 import SigningKey
from ledger.registry.records import ConsensusKey, TlsPin
from node.config import Address
from node.core.messages import TxBatch
from node.identity.hello import nonce_codec
from node.identity.keystore import KeyFileRefused
from node.identity.tls import HANDSHAKE_TIMEOUT_S, TlsFiles, client_context, trusted_certificates
from node.transport.arrivals import HANDSHAKES_MAX, source_of
from node.transport.frames import HELLO_TYPE, NONCE_TYPE, FrameReader, encode_message, frame
from node.transport.limits import UNKNOWN_RATE
from node.transport.link_policy import LinkPolicy, LinkRule
from node.transport.peers import GUEST_FIRST, REASONS_MAX, UNKNOWN, FaultsRefused, ListenFailed, Member


async def pair(lan: SimpleNamespace, first: int = 0, second: int = 1):  # type: ignore[no-untyped-def]
    """Return two linked parties; the lower index dials."""
    a, b = lan.new(first), lan.new(second)
    peers_b, address = await lan.run(b, [a, b], {}, lan.any_port)
    peers_a, _ = await lan.run(a, [a, b], {second: address}, lan.any_port)
    await a.until(lambda: bool(a.ups))
    await b.until(lambda: bool(b.ups))
    return a, peers_a, b, peers_b, address


async def test_two_nodes_link_and_exchange_messages_in_order(lan: SimpleNamespace) -> None:
    a, peers_a, b, peers_b, _ = await pair(lan)
    sent = [Suspect(0, view) for view in range(50)] + [TxBatch((b"x" * 300_000, b"y" * 300_000))]
    for message in sent:
        peers_a.send(1, message)
    peers_b.broadcast(Suspect(0, 99))
    peers_b.flush()
    await b.until(lambda: len(b.messages) == len(sent))
    await a.until(lambda: bool(a.messages))
    assert [message for _, message in b.messages] == sent
    assert {index for index, _ in b.messages} == {0}
    assert a.messages == [(1, Suspect(0, 99))]
    status = peers_a.status()[0]
    assert status.connected and status.problem == "" and status.index == 1 and status.node_id == b.node.node_id
    assert peers_a.connected == (1,) and peers_b.connected == (0,)


async def test_four_nodes_make_one_link_a_pair(lan: SimpleNamespace) -> None:
    parties = [lan.new(index) for index in range(4)]
    addresses: dict[int, Address] = {}
    running = []
    for one in reversed(parties):
        peers, addresses[one.index] = await lan.run(one, parties, dict(addresses), lan.any_port)
        running.append(peers)
    for one in parties:
        await one.until(lambda one=one: len(set(one.ups)) == 3)  # type: ignore[misc]
        assert sorted(one.ups) == [index for index in range(4) if index != one.index]
        assert one.downs == []


async def test_a_node_that_comes_back_is_linked_again(lan: SimpleNamespace) -> None:
    a, peers_a, b, peers_b, address = await pair(lan)
    await peers_b.close()
    await a.until(lambda: a.downs == [1])
    assert peers_a.status()[0].problem
    await lan.run(b, [a, b], {}, address)
    await a.until(lambda: len(a.ups) == 2)
    peers_a.send(1, Suspect(0, 3))
    peers_a.flush()
    await b.until(lambda: (0, Suspect(0, 3)) in b.messages)


async def test_both_sides_dialling_end_with_one_link(lan: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.transport.peers.FALLBACK_S", 0.0)
    a, b = lan.new(0), lan.new(1)
    peers_b, address_b = await lan.run(b, [a, b], {}, lan.any_port)
    peers_a, address_a = await lan.run(a, [a, b], {1: address_b}, lan.any_port)
    peers_b.update(b.index, [_member(a, address_a), _member(b, None)], b.key)
    await a.until(lambda: bool(a.ups))
    for view in range(20):
        peers_a.send(1, Suspect(0, view))
        peers_a.flush()
        await asyncio.sleep(0.01)
    assert len(a.ups) - len(a.downs) == 1 == len(b.ups) - len(b.downs)
    assert b.messages[-1] == (0, Suspect(0, 19))


async def test_the_other_side_dials_when_the_first_cannot(
    lan: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that only lets calls out is linked by its own call, whatever its index."""
    monkeypatch.setattr("node.transport.peers.FALLBACK_S", 0.2)
    a, b = lan.new(0), lan.new(1)
    _, address = await lan.run(a, [a, b], {}, lan.any_port)
    await lan.run(b, [a, b], {0: address}, lan.any_port)
    await b.until(lambda: b.ups == [0])


def _member(one, address):  # type: ignore[no-untyped-def]
    from node.transport.peers import Member

    return Member(index=one.index, node=one.node, address=address)


@pytest.mark.control("S30")
async def test_an_unregistered_key_is_kept_out(lan: SimpleNamespace) -> None:
    a, b, stranger = lan.new(0), lan.new(1), lan.new(0, salt=50)
    _, address = await lan.run(b, [a, b], {}, lan.any_port)
    peers, _ = await lan.run(stranger, [stranger, b], {1: address}, lan.any_port)
    for _ in range(300):
        if peers.status()[0].problem != "not connected yet":
            break
        await asyncio.sleep(0.01)
    assert stranger.ups == [] == b.ups
    assert peers.status()[0].problem != "not connected yet"


@pytest.mark.control("S31")
async def test_the_tls_key_without_the_consensus_key_is_not_enough(lan: SimpleNamespace) -> None:
    a, b = lan.new(0), lan.new(1)
    thief = lan.new(0, salt=50)
    _, address = await lan.run(b, [a, b], {}, lan.any_port)
    stolen = SimpleNamespace(**{**vars(thief), "files": a.files, "node": a.node, "callbacks": thief.callbacks})
    await lan.run(stolen, [a, b], {1: address}, lan.any_port)
    await b.until(lambda: (0, "hello_signature") in b.penalties)
    assert b.ups == []


@pytest.mark.control("S31")
async def test_a_node_of_another_network_is_told_so(lan: SimpleNamespace) -> None:
    a, b = lan.new(0), lan.new(1)
    _, address = await lan.run(b, [a, b], {}, lan.any_port)
    _peers, _ = await lan.run(a, [a, b], {1: address}, lan.any_port, chain_id=b"\x22" * 32)
    await b.until(lambda: (0, "hello_chain") in b.penalties)
    assert a.ups == [] == b.ups


@pytest.mark.control("S29")
async def test_expired_certificates_never_stop_the_network(lan: SimpleNamespace) -> None:
    """Q2: dates only warn; the pin decides."""
    a, b = lan.new(0, now_ms=1_000_000_000_000, days=1), lan.new(1, now_ms=1_000_000_000_000, days=1)
    _, address = await lan.run(b, [a, b], {}, lan.any_port)
    await lan.run(a, [a, b], {1: address}, lan.any_port)
    await a.until(lambda: a.ups == [1])


class Raw:
    """A peer that speaks TLS with a registered key and then sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def dial(
        cls, one, other, address: Address, tls: ssl.TLSVersion | None = None, source: str = "127.0.0.1"
    ) -> Raw:  # type: ignore[no-untyped-def]
        context = client_context(one.files, [other.identity.certificate_der])
        if tls is not None:
            context.minimum_version = tls
            context.maximum_version = tls
        return cls(
            *await asyncio.open_connection(
                address.host, address.port, ssl=context, server_hostname="", local_addr=(source, 0)
            )
        )

    async def ended(self) -> bool:
        try:
            async with asyncio.timeout(10):
                while await self.reader.read(65_536):
                    pass
        except (OSError, ssl.SSLError):
            pass
        return True


@pytest.mark.control("S33", "T25")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x02\xff\xff\xff\xff" + b"x" * 10, "frame_size"),
        (b"\x63\x00\x00\x00\x01x", "frame_type"),
        (frame(NONCE_TYPE, b"rubbish"), "hello_malformed"),
        (encode_message(Suspect(0, 1)), "hello_order"),
        (frame(HELLO_TYPE, b""), "hello_order"),
    ],
)
async def test_a_peer_that_breaks_the_frame_rules_is_cut(lan: SimpleNamespace, data: bytes, reason: str) -> None:
    a, b = lan.new(0), lan.new(1)
    _, address = await lan.run(b, [a, b], {}, lan.any_port)
    raw = await Raw.dial(a, b, address)
    raw.writer.write(data)
    assert await raw.ended()
    await b.until(lambda: (0, reason) in b.penalties)
    assert b.ups == []


@pytest.mark.control("S29")
async def test_tls_1_2_is_refused(lan: SimpleNamespace) -> None:
    a, b = lan.new(0), lan.new(1)
    _, address = await lan.run(b, [a, b], {}, lan.any_port)
    with pytest.raises((OSError, ssl.SSLError)):
        raw = await Raw.dial(a, b, address, ssl.TLSVersion.TLSv1_2)
        raw.writer.write(b"x")
        await raw.reader.readexactly(1)
    assert b.ups == []


@pytest.mark.control("S31")
async def test_a_peer_without_a_hello_is_cut_in_time(lan: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.transport.link.HELLO_TIMEOUT_S", 0.2)
    a, b = lan.new(0), lan.new(1)
    _, address = await lan.run(b, [a, b], {}, lan.any_port)
    raw = await Raw.dial(a, b, address)
    reader = FrameReader()
    reader.feed(await raw.reader.read(4096))
    found = reader.next()
    assert found is not None and found[0] == NONCE_TYPE and len(nonce_codec.decode(found[1]).nonce) == 32
    assert await raw.ended()
    assert b.ups == []


async def strangers(address: Address, count: int) -> list[asyncio.StreamWriter]:
    """Return connections that send nothing."""
    return [(await asyncio.open_connection(address.host, address.port))[1] for _ in range(count)]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_p140_connections_without_a_key_are_bounded_in_number_and_memory(lan: SimpleNamespace) -> None:
    """asyncio gives each TLS connection a buffer of 256 KiB before the first byte came."""
    a, _peers_a, b, _peers_b, address = await pair(lan)
    handles, memory = len(os.listdir("/proc/self/fd")), resident_bytes()
    writers = await strangers(address, 400)
    refused = (UNKNOWN, "too_many_handshakes")
    await b.until(lambda: b.penalties.count(refused) == 400 - HANDSHAKES_MAX)
    await asyncio.sleep(0.1)
    assert len(os.listdir("/proc/self/fd")) - handles - 400 <= HANDSHAKES_MAX
    assert resident_bytes() - memory <= 40 * 1024 * 1024
    for writer in writers:
        writer.close()
    assert a.downs == [] == b.downs and set(b.penalties) == {refused}


async def test_p140_who_opens_many_connections_pushes_out_its_own(lan: SimpleNamespace) -> None:
    """A node that dials from elsewhere gets in, and so does one that began before the crowd came."""
    a, b = lan.new(0), lan.new(1)
    _, address = await lan.run(b, [a, b], {}, lan.any_port)
    _, early = await asyncio.open_connection(address.host, address.port, local_addr=("127.0.0.3", 0))
    writers = await strangers(address, 2 * HANDSHAKES_MAX)
    crowd = asyncio.create_task(strangers(address, 2 * HANDSHAKES_MAX))
    raw = await Raw.dial(a, b, address, source="127.0.0.2")
    assert await raw.reader.read(1)
    writers += await crowd
    await early.start_tls(client_context(a.files, [b.identity.certificate_der]), server_hostname="")
    for writer in (*writers, early, raw.writer):
        writer.close()


@pytest.mark.parametrize(
    ("peername", "source"),
    [
        (("192.0.2.7", 40_000), "192.0.2.7"),
        (("::ffff:192.0.2.7", 40_000, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 40_000, 0, 0), "2001:db8:1:2::"),
        (("fe80::1%eth0", 40_000, 0, 2), "fe80::"),
        (None, ""),
    ],
)
def test_p140_a_source_is_an_address_or_the_network_that_one_host_has(peername: object, source: str) -> None:
    assert source_of(peername) == source


async def test_p140_a_stop_ends_handshakes_that_go_on(lan: SimpleNamespace) -> None:
    """It does not wait for them, nor for a connection that is just being accepted."""
    b = lan.new(1)
    peers, address = await lan.run(b, [b], {}, lan.any_port)
    opened = [await asyncio.open_connection(address.host, address.port)]
    await asyncio.sleep(0.05)
    opened.append(await asyncio.open_connection(address.host, address.port))
    async with asyncio.timeout(HANDSHAKE_TIMEOUT_S / 2):
        await peers.close()
        for reader, writer in opened:
            with contextlib.suppress(ConnectionError):
                assert await reader.read(1) == b""
            writer.close()


async def test_failed_handshakes_leave_nothing_behind(lan: SimpleNamespace) -> None:
    """Whatever a stranger sends before it has shown a key, it is not even a line in the log."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    a, b, stranger = lan.new(0), lan.new(1), lan.new(0, salt=50)
    _, address = await lan.run(b, [a, b], {}, lan.any_port)
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b""):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(data)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
    with contextlib.suppress(OSError):
        raw = await Raw.dial(stranger, b, address)
        assert await raw.ended()
    await asyncio.sleep(0.05)
    gc.collect()
    await asyncio.sleep(0)
    assert told == [] == b.penalties and len(asyncio.all_tasks()) == 1


async def test_what_comes_together_with_the_end_of_the_handshake_is_read(lan: SimpleNamespace) -> None:
    """A node may send its nonce in the same segment as its certificate: the link must not miss it."""
    a, b = lan.new(0), lan.new(1)
    _, address = await lan.run(b, [a, b], {}, lan.any_port)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(a.files, [b.identity.certificate_der]).wrap_bio(incoming, outgoing)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65_536))
    tls.write(frame(HELLO_TYPE, b""))
    writer.write(outgoing.read())
    await b.until(lambda: (0, "hello_order") in b.penalties)
    writer.close()


async def test_a_malformed_message_cuts_the_link(lan: SimpleNamespace) -> None:
    a, peers_a, b, _peers_b, _ = await pair(lan)
    link = peers_a._peers[1].link
    assert link is not None
    link.send(6, frame(6, b"\x93\x06\x00\x81"))
    link.flush()
    await b.until(lambda: (0, "frame_malformed") in b.penalties)
    await a.until(lambda: a.downs == [1])


async def test_p22_a_message_of_a_later_version_is_passed_over_and_counted(lan: SimpleNamespace) -> None:
    """The link stays, nobody is charged, and what comes behind it is taken: versions meet while members upgrade."""
    a, peers_a, b, peers_b, _ = await pair(lan)
    link = peers_a._peers[1].link
    assert link is not None
    link.send(31, bytes((31,)) + (100_000).to_bytes(4, "big") + bytes(100_000))
    peers_a.send(1, Suspect(0, 1))
    peers_a.flush()
    await b.until(lambda: bool(b.messages))
    assert b.messages == [(0, Suspect(0, 1))] and b.rejects == [(0, "unknown_kind")]
    assert peers_b.status()[0].rejected == {"unknown_kind": 1}
    assert b.penalties == [] and b.downs == [] == a.downs


async def test_p22_a_flood_of_unknown_messages_is_charged_like_any_other(lan: SimpleNamespace) -> None:
    _a, peers_a, b, _peers_b, _ = await pair(lan)
    link = peers_a._peers[1].link
    assert link is not None
    for _ in range(UNKNOWN_RATE[1] + 100):
        link.send(31, bytes((31,)) + bytes(4))
    link.flush()
    await b.until(lambda: b.downs == [0])
    assert (0, "rate") in b.penalties


async def test_too_many_faults_keep_a_peer_out_for_a_while(lan: SimpleNamespace) -> None:
    _a, peers_a, b, peers_b, _ = await pair(lan)
    for _ in range(10):
        peers_b.penalise(0, "invalid_vote")
    await b.until(lambda: b.downs == [0])
    await asyncio.sleep(0.3)
    assert b.ups == [0] and peers_a.connected == ()


async def test_a_flood_is_dropped_and_counted(lan: SimpleNamespace) -> None:
    _a, peers_a, b, _peers_b, _ = await pair(lan)
    for view in range(230):
        peers_a.send(1, Suspect(0, view))
    peers_a.flush()
    await b.until(lambda: (0, "rate") in b.penalties)
    assert len(b.messages) < 230


async def test_not_now_stops_reading_until_resume(lan: SimpleNamespace) -> None:
    """The link holds one message and what the kernel has; nothing is lost and nothing piles up."""
    _a, peers_a, b, peers_b, _ = await pair(lan)
    b.accept = False
    for view in range(40):
        peers_a.send(1, Heartbeat(0, view, 0, b"h" * 32))
    peers_a.flush()
    await asyncio.sleep(0.1)
    assert b.messages == []
    peers_b.resume()
    assert b.messages == []
    b.accept = True
    peers_b.resume()
    await b.until(lambda: len(b.messages) == 40)
    assert [message.view for _, message in b.messages] == list(range(40))  # type: ignore[union-attr]


async def test_a_peer_that_does_not_read_never_fills_our_memory(lan: SimpleNamespace) -> None:
    """P140: the queue is bounded; afterwards the link works on, in order."""
    a, b = lan.new(0), lan.new(1)
    peers_b, address = await lan.run(b, [a, b], {}, lan.any_port)
    peers_a, _ = await lan.run(a, [a, b], {1: address}, lan.any_port, outbound_max_bytes=3_000_000)
    await b.until(lambda: bool(b.ups))
    await a.until(lambda: bool(a.ups))
    b.accept = False
    for number in range(40):
        peers_a.send(1, TxBatch((bytes([number]) * 1_000_000,)))
        peers_a.flush()
        await asyncio.sleep(0.005)
    assert peers_a.status()[0].dropped > 0
    peers_a.send(1, Suspect(0, 1))
    peers_a.send(1, Suspect(0, 2))
    b.accept = True
    peers_b.resume()
    await b.until(lambda: (0, Suspect(0, 2)) in b.messages)
    arrived = [message.envelopes[0][0] for _, message in b.messages if isinstance(message, TxBatch)]
    assert arrived == sorted(arrived) and 2 < len(arrived) < 40 and arrived[-1] == 39
    assert a.downs == [] == b.downs


async def test_faults_cut_and_mend_links_on_development_networks_only(lan: SimpleNamespace) -> None:
    a, peers_a, b, peers_b, _ = await pair(lan)
    policy = LinkPolicy().partition([0], [1])
    peers_a.set_policy(policy)
    peers_b.set_policy(policy)
    await a.until(lambda: a.downs == [1])
    assert peers_a.connected == ()
    peers_a.set_policy(policy.heal())
    peers_b.set_policy(policy.heal())
    await a.until(lambda: len(a.ups) == 2)
    peers_a.set_policy(LinkPolicy().with_link(0, 1, LinkRule(latency_us=1_000, jitter_us=5_000)))
    for view in range(30):
        peers_a.send(1, Suspect(0, view))
    await b.until(lambda: len(b.messages) == 30)
    assert [message.view for _, message in b.messages] == list(range(30))  # type: ignore[union-attr]
    strict, _ = await lan.run(lan.new(2), [a, b], {}, lan.any_port, development=False)
    with pytest.raises(FaultsRefused):
        strict.set_policy(policy)


async def test_a_key_that_leaves_the_registry_loses_its_link(lan: SimpleNamespace) -> None:
    _a, _peers_a, b, peers_b, _address = await pair(lan)
    renewed = lan.new(0, salt=50)
    peers_b.update(b.index, [_member(renewed, None), _member(b, None)], b.key)
    await b.until(lambda: b.downs == [0])
    await asyncio.sleep(0.3)
    assert b.ups == [0]


async def test_p117_a_link_survives_the_epoch_and_its_index_moves(lan: SimpleNamespace) -> None:
    """A company that sorts before both joins: the link stays up, what arrives is told under the new index."""
    a, peers_a, b, peers_b, _address = await pair(lan)
    new = lan.new(2)
    seats = {0: new, 1: a, 2: b}
    members = [Member(index=index, node=one.node, address=None) for index, one in seats.items()]
    assert peers_a.update(1, members, a.key) == {1: 2}
    assert peers_b.update(2, members, b.key) == {0: 1}
    assert peers_a.connected == (2,) and peers_b.connected == (1,)
    peers_a.send(2, Suspect(0, 7))
    peers_a.flush()
    await b.until(lambda: (1, Suspect(0, 7)) in b.messages)
    assert a.downs == [] == b.downs and a.ups == [1]
    peers_a.update(1, members[:2], a.key)
    assert a.downs == [2], "who has no place any more loses its link under the index it had"
    await b.until(lambda: b.downs == [1])


async def test_p117_a_guest_dials_and_is_not_dialled(lan: SimpleNamespace) -> None:
    a, guest = lan.new(0), lan.new(1)
    at_guest = [Member(index=0, node=a.node, address=None)]
    peers_guest, address_guest = await lan.run(guest, [], {}, lan.any_port)
    peers_guest.update(None, at_guest, guest.key)
    seen = Member(index=GUEST_FIRST, node=guest.node, address=address_guest)
    peers_a, address_a = await lan.run(a, [a], {}, lan.any_port)
    peers_a.update(0, [_member(a, None), seen], a.key)
    await asyncio.sleep(0.3)
    assert a.ups == [], "a member does not dial a guest"
    peers_guest.update(None, [Member(index=0, node=a.node, address=address_a)], guest.key)
    await a.until(lambda: a.ups == [GUEST_FIRST])
    await guest.until(lambda: guest.ups == [0])


async def test_s24_a_hello_may_be_signed_with_the_next_key(lan: SimpleNamespace) -> None:
    a, b = lan.new(0), lan.new(1)
    key = SigningKey(bytes([77]) * 32)
    both = msgspec.structs.replace(a.node, consensus=(*a.node.consensus, ConsensusKey(key.public_key, 1)))
    peers_b, address = await lan.run(b, [], {}, lan.any_port)
    peers_b.update(1, [Member(index=0, node=both, address=None)], b.key)
    peers_a, _ = await lan.run(a, [], {}, lan.any_port)
    peers_a.update(0, [Member(index=1, node=b.node, address=address)], key)
    await b.until(lambda: b.ups == [0])


async def test_a_port_in_use_is_named_with_the_fix(lan: SimpleNamespace) -> None:
    a, _peers_a, b, _peers_b, address = await pair(lan)
    with pytest.raises(ListenFailed, match=r"port is in use; .*peers\.listen"):
        await lan.run(lan.new(2), [a, b], {}, address)


async def test_s23_another_certificate_is_shown_on_new_links_and_the_old_ones_stay(lan: SimpleNamespace) -> None:
    a, b, renewed = lan.new(0), lan.new(1), lan.new(0, salt=50)
    both = msgspec.structs.replace(a.node, tls=(*a.node.tls, *renewed.node.tls))
    peers_b, address_b = await lan.run(b, [a], {}, lan.any_port)
    peers_a, _ = await lan.run(a, [b], {1: address_b}, lan.any_port)
    await b.until(lambda: b.ups == [0])
    peers_b.update(1, [Member(index=0, node=both, address=None)], b.key)
    peers_a.present(renewed.files)
    assert a.downs == [] == b.downs, "links that are up stay"
    only = msgspec.structs.replace(a.node, tls=renewed.node.tls)
    peers_b.update(1, [Member(index=0, node=only, address=None)], b.key)
    await b.until(lambda: b.downs == [0])  # the old key counts no longer
    await b.until(lambda: b.ups == [0, 0])  # and the dialler comes with the new one
    assert peers_a.connected == (1,) and peers_b.connected == (0,)


async def test_s23_a_certificate_without_its_key_leaves_the_old_one_shown(lan: SimpleNamespace) -> None:
    """OpenSSL takes the certificate before it finds that the key is another one's."""
    a, b, renewed = lan.new(0), lan.new(1), lan.new(0, salt=50)
    peers_b, address_b = await lan.run(b, [], {}, lan.any_port)
    broken = TlsFiles(certificate=renewed.files.certificate, key=a.files.key, password=b.files.password)
    with pytest.raises(KeyFileRefused, match="does not belong to"):
        peers_b.present(broken)
    peers_b.update(1, [Member(index=0, node=a.node, address=None)], b.key)
    peers_a, _ = await lan.run(a, [b], {1: address_b}, lan.any_port)
    await a.until(lambda: a.ups == [1])
    assert peers_a.connected == (1,)


@pytest.mark.parametrize("junk", [b"no certificate", b"", b"\x30\x03\x02\x01\x00"], ids=["text", "empty", "other DER"])
async def test_s30_a_certificate_that_is_none_keeps_out_its_own_node_only(lan: SimpleNamespace, junk: bytes) -> None:
    """A company registers its pins alone (S23): what it writes there must not stop the others."""
    a, _peers_a, b, peers_b, _address = await pair(lan)
    spoilt = lan.new(2)
    bad = msgspec.structs.replace(spoilt.node, tls=(TlsPin(spoilt.identity.spki_sha256, junk),))
    peers_b.update(1, [_member(a, None), _member(b, None), Member(index=2, node=bad, address=None)], b.key)
    assert b.downs == [] and peers_b.connected == (0,)
    lent = msgspec.structs.replace(spoilt.node, tls=(TlsPin(spoilt.identity.spki_sha256, b.identity.certificate_der),))
    assert trusted_certificates([bad, lent]) == (), "nor a certificate of another key than the pin says"
    c = lan.new(3)
    fresh, _ = await lan.run(c, [], {}, lan.any_port)
    fresh.update(3, [Member(index=2, node=bad, address=None)], c.key)
    assert fresh.status()[0].index == 2 and not fresh.status()[0].connected


async def test_what_is_refused_of_a_node_is_counted_by_reason_over_all_its_links(lan: SimpleNamespace) -> None:
    """Bad input is counted per peer; what strangers send is counted too, and names nobody."""
    a, peers_a, b, peers_b, _address = await pair(lan)
    for _ in range(3):
        peers_b.penalise(0, "wrong_epoch")
    peers_b.penalise(0, "bad_signature")
    peers_b.update(1, [Member(index=4, node=a.node, address=None), _member(b, None)], b.key)
    assert peers_b.status()[0].rejected == {"wrong_epoch": 3, "bad_signature": 1}, "an epoch moves the index only"
    for number in range(200):
        peers_b.penalise(4, f"reason-{number}")
    counted = peers_b.status()[0].rejected
    assert len(counted) <= REASONS_MAX + 1 and sum(counted.values()) == 204
    assert peers_a.status()[0].rejected == {}
