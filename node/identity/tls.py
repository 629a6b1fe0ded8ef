"""TLS 1.3 between nodes: self-signed certificates, pinned through the registry (S29, S30, S32).

Rules
    * Both sides show a certificate. Each registered certificate is its own trust anchor; there is no shared
      authority. The handshake only admits keys that are known; who the peer is, is decided afterwards by
      `pinned_node`: SHA-256 of its public key must be an active pin in the registry.
    * Names are not compared (pins replace them), and dates only warn: an expired certificate must never stop the
      network (pain-points Q2). Loading a certificate into a live context works, removing one does not, so a context
      is built anew when pins change.
    * The key is an encrypted PKCS#8 file whose random password is in the keystore; never a plaintext file (S32).
    * The API of a production node is never without TLS, not even on loopback (S46). A company that names no
      certificate of its own gets one here, for this machine's names only: `keep_api_certificate` makes it and makes a
      new one before its end. It is its own anchor: clients of the same home trust exactly this file.

Door: `make_certificate`, `server_context`, `client_context`, `pinned_node`, `keep_api_certificate`, `api_context`.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from ledger.registry.records import Node, TlsPin
from node.identity.certificate import CertificateMalformed, facts_of, spki_sha256
from node.identity.keystore import KeyFileRefused, write_private

VALIDITY_DAYS: Final = 90
WARN_DAYS: Final = (30, 14, 7, 1)
"""Days before its end at which a certificate is reported (Q2, U60)."""
HANDSHAKE_TIMEOUT_S: Final = 5.0
NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME; the `ssl` module has no name for it."""
CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"
API_CERTIFICATE_FILE: Final = "api.crt"
API_KEY_FILE: Final = "api.key"
API_VALIDITY_DAYS: Final = 397
"""About a year: browsers refuse longer ones, and a node is started more often than that."""
API_NAMES: Final = ("localhost", "127.0.0.1", "::1")

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsIdentity:
    """A certificate and its private key as an encrypted file body."""

    certificate_der: bytes
    certificate_pem: bytes
    key_pem: bytes
    """PKCS#8, encrypted with the password."""
    spki_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where an identity lies on disk, and the password of its key."""

    certificate: Path
    key: Path
    password: bytes

    def __repr__(self) -> str:
        return f"TlsFiles({self.certificate}, {self.key})"


def make_certificate(
    *, seed: bytes, serial: int, chain_id: bytes, node_id: str, password: bytes, now_ms: int, days: int = VALIDITY_DAYS
) -> TlsIdentity:
    """Return a self-signed Ed25519 certificate of `node_id`; `seed` and `serial` (positive, 63 bits) are random.

    The URI `hansa://<chain>/node/<node_id>` is informative only (S29).
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node_id)])
    start = datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(hours=1)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days, hours=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(f"hansa://{chain_id.hex()[:16]}/node/{node_id}")]
            ),
            critical=False,
        )
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    certificate = builder.sign(key, None)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return TlsIdentity(
        certificate_der=der,
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        ),
        spki_sha256=spki_sha256(der),
    )


def write_identity(directory: Path, identity: TlsIdentity, password: bytes, number: int = 1) -> TlsFiles:
    """Write certificate and encrypted key with mode 0600 into `directory`; `number` 1 is the first identity."""
    files = _numbered(directory, number, password)
    write_private(files.key, identity.key_pem)
    write_private(files.certificate, identity.certificate_pem)
    return files


def identities(directory: Path, password: bytes) -> tuple[TlsFiles, ...]:
    """Return the identities in a home, the first one first: `tls.crt`, `tls-2.crt`, ... (S23)."""
    found = [TlsFiles(certificate=directory / CERTIFICATE_FILE, key=directory / KEY_FILE, password=password)]
    while (later := _numbered(directory, len(found) + 1, password)).certificate.exists():
        found.append(later)
    return tuple(found)


def presented(directory: Path, password: bytes, node: Node | None) -> TlsFiles:
    """Return the identity to show: the newest that the registry names for the own node, else the first one.

    `node` is the own record, None while the node is not registered. Raises `KeyFileRefused`.
    """
    found = identities(directory, password)
    pinned = [pin.spki_sha256 for pin in node.tls] if node is not None else []
    for files in reversed(found):
        try:
            if spki_sha256(own_certificate(files)) in pinned:
                return files
        except CertificateMalformed as error:
            raise KeyFileRefused(files.certificate, f"{error}; restore it from the backup") from error
    return found[0]


def _numbered(directory: Path, number: int, password: bytes) -> TlsFiles:
    mark = "" if number == 1 else f"-{number}"
    certificate, key = directory / f"tls{mark}.crt", directory / f"tls{mark}.key"
    return TlsFiles(certificate=certificate, key=key, password=password)


def keep_api_certificate(home: Path, password: bytes, now_ms: int) -> TlsFiles:
    """Return the API's own certificate in `home`, made anew when it is missing or ends within `WARN_DAYS[0]` days.

    ECDSA on P-256, because browsers do not speak Ed25519 in TLS. Raises `KeyFileRefused`.
    """
    files = TlsFiles(certificate=home / API_CERTIFICATE_FILE, key=home / API_KEY_FILE, password=password)
    if files.certificate.exists() and files.key.exists():
        try:
            if days_left(own_certificate(files), now_ms) >= WARN_DAYS[0]:
                return files
        except CertificateMalformed as error:
            raise KeyFileRefused(files.certificate, f"{error}; remove it, the node makes a new one") from error
    certificate, key = _api_certificate(password, now_ms)
    write_private(files.key, key)
    write_private(files.certificate, certificate)
    return files


def _api_certificate(password: bytes, now_ms: int) -> tuple[bytes, bytes]:
    """Return (certificate, encrypted key) in PEM for the names of this machine."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hansa node API")])
    start = datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(hours=1)
    alternatives = [x509.DNSName(API_NAMES[0]), *(x509.IPAddress(ip_address(text)) for text in API_NAMES[1:])]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=API_VALIDITY_DAYS, hours=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )


def api_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context of the API's listener with the node's own certificate. Raises `KeyFileRefused`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    show(context, files)
    return context


def own_certificate(files: TlsFiles) -> bytes:
    """Return our certificate as DER. Raises `KeyFileRefused`."""
    try:
        return ssl.PEM_cert_to_DER_cert(files.certificate.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise KeyFileRefused(files.certificate, f"it is not a readable certificate ({error})") from error


def server_context(files: TlsFiles, trusted: Sequence[bytes]) -> ssl.SSLContext:
    """Return the context for accepting links; `trusted` are the DER certificates of the registry (S29)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    return _arm(context, files, trusted)


def client_context(files: TlsFiles, trusted: Sequence[bytes]) -> ssl.SSLContext:
    """Return the context for dialling other nodes (S29)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _arm(context, files, trusted)


def pinned_node(nodes: Sequence[Node], peer_der: bytes) -> Node | None:
    """Return the node whose active pin the certificate `peer_der` carries, or None (S30)."""
    try:
        pin = spki_sha256(peer_der)
    except CertificateMalformed:
        return None
    for node in nodes:
        if any(known.spki_sha256 == pin for known in node.tls):
            return node
    return None


def days_left(certificate_der: bytes, now_ms: int) -> int:
    """Return the whole days until the end of a certificate; negative when it is over. It works on all the same."""
    return (facts_of(certificate_der).not_after_ms - now_ms) // _DAY_MS


def trusted_certificates(nodes: Sequence[Node]) -> tuple[bytes, ...]:
    """Return the registered certificates of `nodes`, without repeats, in order.

    What a company registered is its own word: bytes that are no certificate, or one of another key than the pin says,
    are left out, so that they keep out their own node and nobody else.
    """
    return tuple(dict.fromkeys(pin.certificate_der for node in nodes for pin in node.tls if _is_certificate(pin)))


def _is_certificate(pin: TlsPin) -> bool:
    """Tell whether OpenSSL takes the bytes as one certificate, of the key that the pin names."""
    try:
        if spki_sha256(pin.certificate_der) != pin.spki_sha256:
            return False
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pin.certificate_der)
    except (CertificateMalformed, ssl.SSLError, ValueError):
        return False
    return True


def pins(nodes: Sequence[Node]) -> Mapping[bytes, Node]:
    """Return the active pins: SHA-256 of the public key -> node."""
    return {pin.spki_sha256: node for node in nodes for pin in node.tls}


def _arm(context: ssl.SSLContext, files: TlsFiles, trusted: Sequence[bytes]) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    show(context, files)
    for der in trusted:
        context.load_verify_locations(cadata=der)
    return context


def show(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Let a context show this identity, in place of the one before. Raises `KeyFileRefused`."""
    try:
        context.load_cert_chain(files.certificate, files.key, password=files.password)
    except ssl.SSLError as error:
        raise KeyFileRefused(files.key, f"it does not belong to {files.certificate.name} or to its password") from error
    except OSError as error:
        raise KeyFileRefused(files.key, f"{error.strerror}; make the node's certificate with `hansa init`") from error
