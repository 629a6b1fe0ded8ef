"""Certificates, pins and the signed hello (S29-S32)."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.crypto.hashing import Tag, signing_digest
from ledger.errors import PeerMisbehaved
from ledger.registry.records import Node, TlsPin
from node.identity.certificate import CertificateMalformed, facts_of, spki_sha256
from node.identity.hello import Hello, HelloExchange, LinkEnds, Nonce, SignedHello
from node.identity.keystore import KeyFileRefused
from node.identity.tls import (
    API_VALIDITY_DAYS,
    TlsIdentity,
    api_context,
    client_context,
    days_left,
    identities,
    keep_api_certificate,
    own_certificate,
    pinned_node,
    presented,
    server_context,
    trusted_certificates,
    write_identity,
)
from node.identity.tls import make_certificate as make

CHAIN_ID = b"\x11" * 32
DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


def identity(number: int = 1, *, now_ms: int = NOW_MS, days: int = 90) -> TlsIdentity:
    return make(
        seed=bytes([number]) * 32,
        serial=number,
        chain_id=CHAIN_ID,
        node_id=f"n{number}",
        password=b"password",
        now_ms=now_ms,
        days=days,
    )


def test_s46_the_api_certificate_is_kept_until_it_nears_its_end(tmp_path: Path) -> None:
    made = keep_api_certificate(tmp_path, b"secret", NOW_MS)
    first = own_certificate(made)
    assert days_left(first, NOW_MS) == API_VALIDITY_DAYS
    assert b"ENCRYPTED" in made.key.read_bytes() and made.key.stat().st_mode & 0o077 == 0
    assert own_certificate(keep_api_certificate(tmp_path, b"secret", NOW_MS + 300 * DAY_MS)) == first
    assert own_certificate(keep_api_certificate(tmp_path, b"secret", NOW_MS + 370 * DAY_MS)) != first


async def test_s46_a_client_of_the_home_trusts_the_api_certificate_and_nothing_else_does(tmp_path: Path) -> None:
    context = api_context(keep_api_certificate(tmp_path, b"secret", time.time_ns() // 1_000_000))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(tmp_path / "api.crt"))
    for host in ("127.0.0.1", "localhost"):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=host)
        writer.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="hansa.example")
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("year_ms", [0, NOW_MS, 2_524_608_000_000, 4_102_444_800_000])
def test_the_small_reader_agrees_with_the_library(year_ms: int) -> None:
    """Dates before and after 2050 are written in two different forms."""
    made = identity(now_ms=year_ms + 86_400_000)
    certificate = x509.load_der_x509_certificate(made.certificate_der)
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    facts = facts_of(made.certificate_der)
    assert facts.spki_sha256 == sha256(spki).digest() == made.spki_sha256
    assert facts.not_before_ms == certificate.not_valid_before_utc.timestamp() * 1000
    assert facts.not_after_ms == certificate.not_valid_after_utc.timestamp() * 1000
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["hansa://1111111111111111/node/n1"]


def test_bytes_that_are_no_certificate_are_refused() -> None:
    der = identity().certificate_der
    for end in range(len(der)):
        with pytest.raises(CertificateMalformed):
            facts_of(der[:end])
    for bad in (der + b"\0", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", bytes(20_000), b"\x31" + der[1:]):
        with pytest.raises(CertificateMalformed):
            spki_sha256(bad)


@pytest.mark.control("S32")
def test_the_private_key_is_never_in_clear_on_disk(tmp_path: Path) -> None:
    made = identity()
    files = write_identity(tmp_path, made, b"password")
    assert b"ENCRYPTED PRIVATE KEY" in files.key.read_bytes()
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert own_certificate(files) == made.certificate_der
    server_context(files, [])
    with pytest.raises(KeyFileRefused, match="does not belong"):
        server_context(replace(files, password=b"wrong"), [])
    with pytest.raises(KeyFileRefused, match="does not belong"):
        write_identity(tmp_path / "", replace(identity(2), key_pem=made.key_pem), b"password")
        client_context(files, [])
    with pytest.raises(KeyFileRefused, match="hansa init"):
        client_context(replace(files, key=tmp_path / "nothing"), [])


@pytest.mark.control("S29")
def test_contexts_demand_tls_1_3_and_a_certificate(tmp_path: Path) -> None:
    files = write_identity(tmp_path, identity(), b"password")
    for context in (server_context(files, []), client_context(files, [])):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED and not context.check_hostname
        assert context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.verify_flags & 0x200000
    assert server_context(files, []).num_tickets == 0


@pytest.mark.control("S30")
def test_the_pin_decides_who_it_is() -> None:
    first, renewed, other = identity(1), identity(2), identity(3)
    node = Node(
        "n1",
        "c",
        "member",
        (),
        tuple(TlsPin(item.spki_sha256, item.certificate_der) for item in (first, renewed)),
        b"",
        "active",
    )
    assert pinned_node([node], first.certificate_der) is node
    assert pinned_node([node], renewed.certificate_der) is node
    assert pinned_node([node], other.certificate_der) is None
    assert pinned_node([node], b"rubbish") is None
    assert trusted_certificates([node, node]) == (first.certificate_der, renewed.certificate_der)
    assert days_left(first.certificate_der, NOW_MS) == 90
    assert days_left(identity(days=1).certificate_der, NOW_MS + 3 * 86_400_000) == -2


# -- hello -----------------------------------------------------------------------------------------------------

KEY_A, KEY_B = SigningKey(b"\x55" * 32), SigningKey(b"\x56" * 32)


def ends(own: str, peer: str, key: bytes, chain_id: bytes = CHAIN_ID) -> LinkEnds:
    return LinkEnds(
        chain_id=chain_id,
        own_node_id=own,
        peer_node_id=peer,
        own_certificate=b"certificate " + own.encode(),
        peer_certificate=b"certificate " + peer.encode(),
        peer_keys=(key,),
    )


def exchange(side: str = "a", **changes: object) -> HelloExchange:
    if side == "a":
        return HelloExchange(replace(ends("a", "b", KEY_B.public_key), **changes), KEY_A, b"A" * 32, 3)
    return HelloExchange(replace(ends("b", "a", KEY_A.public_key), **changes), KEY_B, b"B" * 32, 4)


def test_two_honest_ends_believe_each_other() -> None:
    a, b = exchange("a"), exchange("b")
    hello_a, hello_b = a.on_nonce(b.opening()), b.on_nonce(a.opening())
    assert not a.done
    assert a.on_hello(hello_b).height == 4 and b.on_hello(hello_a).height == 3
    assert a.done and b.done


@pytest.mark.control("S31")
def test_relays_replays_and_reflections_are_refused() -> None:
    a, b = exchange("a"), exchange("b")
    hello_a, hello_b = a.on_nonce(b.opening()), b.on_nonce(a.opening())
    later = HelloExchange(ends("a", "b", KEY_B.public_key), KEY_A, b"C" * 32, 3)
    later.on_nonce(b.opening())
    cases = {
        "replay into another link": (later, hello_b, "hello_binding"),
        "our own hello reflected": (a, hello_a, "hello_binding"),
    }
    for data, reason in ((hello_b, "hello_binding"),):
        relayed = exchange("a", peer_certificate=b"certificate of a man in the middle")
        relayed.on_nonce(b.opening())
        with pytest.raises(PeerMisbehaved, match=reason):
            relayed.on_hello(data)
    for end, data, reason in cases.values():
        with pytest.raises(PeerMisbehaved, match=reason):
            end.on_hello(data)
    with pytest.raises(PeerMisbehaved, match="hello_nonce"):
        exchange("a").on_nonce(encode(Nonce(b"A" * 32)))


def _signed(key: SigningKey, **changes: object) -> bytes:
    values: dict[str, object] = {
        "chain_id": CHAIN_ID,
        "protocol": 1,
        "node_id": "b",
        "peer_node_id": "a",
        "own_certificate": sha256(b"certificate b").digest(),
        "peer_certificate": sha256(b"certificate a").digest(),
        "own_nonce": b"B" * 32,
        "peer_nonce": b"A" * 32,
        "height": 4,
        "features": (),
        **changes,
    }
    hello = Hello(**values)  # type: ignore[arg-type]
    return encode(SignedHello(hello, key.sign(signing_digest(Tag.SIG_HELLO, CHAIN_ID, encode(hello)))))


@pytest.mark.control("S31")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chain_id": b"\x22" * 32}, "hello_chain"),
        ({"protocol": 2}, "hello_protocol"),
        ({"node_id": "c"}, "hello_binding"),
        ({"peer_node_id": "c"}, "hello_binding"),
        ({"own_certificate": b"?" * 32}, "hello_binding"),
        ({"peer_certificate": b"?" * 32}, "hello_binding"),
        ({"own_nonce": b"?" * 32}, "hello_binding"),
        ({"peer_nonce": b"?" * 32}, "hello_binding"),
    ],
)
def test_every_field_of_a_hello_is_checked(changes: dict[str, object], reason: str) -> None:
    a = exchange("a")
    a.on_nonce(encode(Nonce(b"B" * 32)))
    with pytest.raises(PeerMisbehaved, match=reason):
        a.on_hello(_signed(KEY_B, **changes))
    assert a.on_hello(_signed(KEY_B)).node_id == "b"


@pytest.mark.control("S31")
def test_only_the_consensus_key_signs_a_hello() -> None:
    a = exchange("a")
    a.on_nonce(encode(Nonce(b"B" * 32)))
    with pytest.raises(PeerMisbehaved, match="hello_signature"):
        a.on_hello(_signed(KEY_A))
    rotating = exchange("a", peer_keys=(KEY_A.public_key, KEY_B.public_key))
    rotating.on_nonce(encode(Nonce(b"B" * 32)))
    rotating.on_hello(_signed(KEY_B))


def test_order_and_form_are_enforced() -> None:
    a = exchange("a")
    with pytest.raises(PeerMisbehaved, match="hello_order"):
        a.on_hello(_signed(KEY_B))
    with pytest.raises(PeerMisbehaved, match="hello_malformed"):
        a.on_nonce(b"\x00")
    with pytest.raises(PeerMisbehaved, match="hello_nonce"):
        a.on_nonce(encode(Nonce(b"short")))
    a.on_nonce(encode(Nonce(b"B" * 32)))
    with pytest.raises(PeerMisbehaved, match="hello_twice"):
        a.on_nonce(encode(Nonce(b"B" * 32)))
    with pytest.raises(PeerMisbehaved, match="hello_malformed"):
        a.on_hello(b"\x92\x00")
    a.on_hello(_signed(KEY_B))
    with pytest.raises(PeerMisbehaved, match="hello_order"):
        a.on_hello(_signed(KEY_B))
    with pytest.raises(ValueError):
        HelloExchange(ends("a", "b", KEY_B.public_key), KEY_A, b"short", 0)


def test_s23_the_newest_certificate_that_the_registry_names_is_shown(tmp_path: Path) -> None:
    first, second = identity(1), identity(2)
    write_identity(tmp_path, first, b"password")
    files = write_identity(tmp_path, second, b"password", 2)
    assert [one.certificate.name for one in identities(tmp_path, b"password")] == ["tls.crt", "tls-2.crt"]

    def record(*shown: TlsIdentity) -> Node:
        pins = tuple(TlsPin(one.spki_sha256, one.certificate_der) for one in shown)
        return Node("n", "c", "member", (), pins, b"", "active")

    assert presented(tmp_path, b"password", None).certificate.name == "tls.crt"
    assert presented(tmp_path, b"password", record(first)).certificate.name == "tls.crt"
    for both in (record(first, second), record(second, first), record(second)):
        assert presented(tmp_path, b"password", both) == files
    files.certificate.write_text("no certificate")
    with pytest.raises(KeyFileRefused, match=r"tls-2\.crt"):
        presented(tmp_path, b"password", record(first, second))
