"""Links to the other members: one authenticated connection a pair, kept up by dialling again (P140, S29-S33).

Rules
    * The member with the lower index dials. The other side dials too when it has been without a link for
      `FALLBACK_S`: some machines can only call out. If both come through, the one that the lower index dialled stays.
    * A newer link of the same direction replaces the older one: whoever dials again knows that the old one is dead.
    * Who has not shown a key may hold little here: `node.transport.arrivals` bounds the handshakes (P140).
    * A TLS key must be an active pin of the registry and the hello must verify before a message is believed. `update`
      follows registry and epoch: links whose pin is gone are cut, all others stay and get their new index (P117).
    * A node without a vote, a guest, has an index from `GUEST_FIRST` on. It dials the members, and no other guest.
    * `send` and `broadcast` queue; `flush` writes once for each peer (E35). What a slow peer does not take in time is
      dropped, votes first: its STATUS makes us send again what it lacks (P37).
    * Faults are counted; too many cut the link for some seconds. Nothing a peer does raises out of here.

Door: `Peers.start`, then `send`, `broadcast`, `flush`, `penalise`, `status`, `close`.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.registry.records import Node
from node.config import Address
from node.core.messages import PeerMessage
from node.identity.certificate import CertificateMalformed, spki_sha256
from node.identity.hello import HelloSigner, LinkEnds
from node.identity.tls import (
    HANDSHAKE_TIMEOUT_S,
    TlsFiles,
    client_context,
    own_certificate,
    pins,
    server_context,
    show,
    trusted_certificates,
)
from node.transport.arrivals import Arrivals
from node.transport.frames import encode_message, tag_of
from node.transport.limits import Demerits
from node.transport.link import Link, LinkState, Remote, reason_of
from node.transport.link_policy import CLEAR, LinkPolicy, passage

DIAL_TIMEOUT_S: Final = 10.0
FALLBACK_S: Final = 15.0
"""Time without a link after which the higher index dials too."""
FIRST_PAUSE_S: Final = 0.1
ACCEPT_BACKLOG: Final = 64
GUEST_FIRST: Final = (1 << 16) + 1
"""Indexes from here on are links of nodes without a vote; members of an epoch are far below (P141)."""
UNKNOWN: Final = -1
"""Stands for a node that has not shown who it is when it is told of by `PeerCallbacks.on_penalty`."""
REASONS_MAX: Final = 128
"""Reasons counted for each node; there are fewer, so a new one of later versions is the only thing that is cut."""
OTHER_REASON: Final = "other"
PENDING_MAX: Final = 4
"""Links of one member that have not finished their hello."""


class ListenFailed(Exception):
    """The peer listener could not be opened. The message names the setting and the fix."""

    code = "listen"

    def __init__(self, address: Address, reason: str, fix: str) -> None:
        super().__init__(f"cannot listen for peers on {address}: {reason}; {fix}")
        self.address = address
        self.reason = reason


class FaultsRefused(Exception):
    """Link faults were asked for on a network that is not a development network (C5)."""

    code = "faults_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Another node as links see it: a member of the epoch, or a guest. `address` is None when nobody told it: then it
    must dial us."""

    index: int
    node: Node
    address: Address | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """Set at the start of the process."""

    chain_id: bytes
    own_node_id: str
    tls: TlsFiles
    """What is shown first; `Peers.present` replaces it."""
    listen: Address
    development: bool
    reconnect_max_s: int = 10
    outbound_max_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCallbacks:
    """Called on the loop's thread.

    `on_message` may return False for "not now": the link keeps the message and stops reading until `resume`.
    `on_penalty` is told faults that the transport itself found: (index or `UNKNOWN`, stable reason).
    `on_reject` is told what it did not take although a correct node may send it, in the same way.
    """

    on_message: Callable[[int, PeerMessage], bool | None]
    on_up: Callable[[int], None]
    on_down: Callable[[int], None]
    on_penalty: Callable[[int, str], None]
    on_reject: Callable[[int, str], None]
    height: Callable[[], int]
    spent: Callable[[int], None] = lambda _: None
    """Is told the CPU nanoseconds that received bytes took (performance E40)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """One link for the status page. `problem` is empty while it is up."""

    index: int
    node_id: str
    connected: bool
    address: str
    problem: str
    last_heard_ns: int
    round_trip_us: int
    sent_bytes: int
    dropped: int
    rejected: Mapping[str, int]
    """Messages of this node that were refused since the start, by stable reason, over all its links."""


class _Peer:
    """What is remembered about one node across links. `index` is -1 once it has no place here any more."""

    __slots__ = (
        "address",
        "delayed",
        "demerits",
        "dialler",
        "down_since_ns",
        "free_ns",
        "index",
        "last_ns",
        "link",
        "node",
        "problem",
        "rejected",
    )

    def __init__(self, index: int, node: Node, address: Address | None) -> None:
        self.index = index
        self.node = node
        self.address = address
        self.link: Link | None = None
        self.problem = "not connected yet"
        self.demerits = Demerits()
        self.rejected: dict[str, int] = {}
        self.down_since_ns = time.monotonic_ns()
        self.dialler: asyncio.Task[None] | None = None
        self.free_ns = 0
        self.last_ns = 0
        self.delayed: deque[tuple[Link, int, bytes]] = deque()


class Peers:
    """All links of one node."""

    def __init__(
        self,
        settings: PeerSettings,
        own_index: int | None,
        members: Sequence[Member],
        signer: HelloSigner,
        callbacks: PeerCallbacks,
    ) -> None:
        """`own_index` is None on a node without a vote: it dials everybody."""
        self._settings = settings
        self._own_index = own_index
        self._signer = signer
        self._callbacks = callbacks
        self._tls = settings.tls
        self._own_certificate = own_certificate(settings.tls)
        self._peers: dict[int, _Peer] = {}
        self._by_node: dict[str, _Peer] = {}
        self._pins: Mapping[bytes, int] = {}
        self._policy = LinkPolicy()
        self._server: asyncio.Server | None = None
        self._unproven: dict[Link, None] = {}
        self._closing = False
        self._flush_handle: asyncio.Handle | None = None
        trusted = trusted_certificates([member.node for member in self._adopt(members)])
        self._server_context = server_context(settings.tls, trusted)
        self._client_context = client_context(settings.tls, trusted)
        self._arrivals = Arrivals(
            self._server_context,
            lambda: self._new_link(""),
            lambda reason: callbacks.on_penalty(UNKNOWN, reason),
        )

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self) -> Address:
        """Listen and dial; return the address that is listened on. Raises `ListenFailed`."""
        listen = self._settings.listen
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._arrivals.protocol,
                listen.host,
                listen.port,
                backlog=ACCEPT_BACKLOG,
                reuse_address=True,
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                fix = "stop the other process or set another peers.listen"
                raise ListenFailed(listen, "the port is in use", fix) from error
            fix = "set peers.listen to an address of this machine"
            raise ListenFailed(listen, error.strerror or str(error), fix) from error
        for peer in self._peers.values():
            self._dial(peer)
        port: int = self._server.sockets[0].getsockname()[1]
        return Address(listen.host, port)

    async def close(self) -> None:
        """Stop listening, end all links, and wait until they are gone."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        tasks = [peer.dialler for peer in self._peers.values() if peer.dialler is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._arrivals.close()
        links = [peer.link for peer in self._peers.values() if peer.link is not None] + list(self._unproven)
        for link in links:
            link.flush()
            link.close("this node stops")
        await asyncio.gather(*(link.ended for link in links), return_exceptions=True)

    def present(self, tls: TlsFiles) -> None:
        """Show another certificate on links that are made from now on (S23). Raises `KeyFileRefused`.

        OpenSSL takes the certificate before it looks at the key, so a pair that fails would leave a context with
        neither of the two: they are tried beside first.
        """
        if tls.certificate == self._tls.certificate:
            return
        certificate = own_certificate(tls)
        client_context(tls, ())
        for context in (self._server_context, self._client_context):
            show(context, tls)
        self._tls, self._own_certificate = tls, certificate

    def update(self, own_index: int | None, members: Sequence[Member], signer: HelloSigner) -> dict[int, int]:
        """Follow registry and epoch: new pins are trusted, links whose pin is gone are cut, new nodes are dialled.

        A link that stays is told nothing. Returns the new index of every node that has a place before and after, by
        its old one; the caller tells whoever counts in indexes. `signer` signs the hello of links from now on (S24).
        """
        before = {node_id: peer.index for node_id, peer in self._by_node.items()}
        self._own_index, self._signer = own_index, signer
        trusted = trusted_certificates([member.node for member in self._adopt(members)])
        for der in trusted:
            self._server_context.load_verify_locations(cadata=der)
        self._client_context = client_context(self._tls, trusted)
        for link in [peer.link for peer in self._peers.values() if peer.link is not None] + list(self._unproven):
            if link.remote is not None and self._peer_of(link) is None:
                link.close("its node has no place on the network any more")
        if self._server is not None:
            for peer in self._peers.values():
                self._dial(peer)
        return {index: self._by_node[node_id].index for node_id, index in before.items() if node_id in self._by_node}

    # -- messages ----------------------------------------------------------------------------------------------

    def send(self, to: int, message: PeerMessage) -> None:
        """Queue `message` for member `to`; without a link it is dropped, STATUS repairs that (P37)."""
        peer = self._peers.get(to)
        if peer is not None and peer.link is not None:
            self._pass(to, peer, tag_of(message), encode_message(message))

    def broadcast(self, message: PeerMessage) -> None:
        """Queue `message` for all other members; it is encoded once."""
        kind, data = tag_of(message), encode_message(message)
        for index, peer in self._peers.items():
            if peer.link is not None:
                self._pass(index, peer, kind, data)

    def flush(self) -> None:
        """Write what is queued, once for each peer (E35). Without a call it happens at the end of this loop turn."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        for peer in self._peers.values():
            if peer.link is not None:
                peer.link.flush()

    def resume(self) -> None:
        """Let the links that were told "not now" hand over what they hold."""
        for peer in self._peers.values():
            if peer.link is not None:
                peer.link.resume()

    def penalise(self, index: int, reason: str) -> None:
        """Count a fault of a member; too many cut its link for `QUARANTINE_NS`."""
        peer = self._peers.get(index)
        if peer is None:
            return
        self.reject(index, reason)
        if peer.demerits.add(reason, time.monotonic_ns()) and peer.link is not None:
            peer.link.close(f"too many faults, the last one: {reason}")

    def reject(self, index: int, reason: str) -> None:
        """Count a message of a member that was not taken, which a correct node may send."""
        peer = self._peers.get(index)
        if peer is not None:
            known = reason if reason in peer.rejected or len(peer.rejected) < REASONS_MAX else OTHER_REASON
            peer.rejected[known] = peer.rejected.get(known, 0) + 1

    # -- what is known -----------------------------------------------------------------------------------------

    def status(self) -> tuple[PeerStatus, ...]:
        """Return every other member, by index."""
        found: list[PeerStatus] = []
        for index in sorted(self._peers):
            peer = self._peers[index]
            link = peer.link
            found.append(
                PeerStatus(
                    index=index,
                    node_id=peer.node.node_id,
                    connected=link is not None,
                    address="" if peer.address is None else str(peer.address),
                    problem="" if link is not None else peer.problem,
                    last_heard_ns=0 if link is None else link.last_heard_ns,
                    round_trip_us=0 if link is None else link.round_trip_us(),
                    sent_bytes=0 if link is None else link.sent_bytes,
                    dropped=0 if link is None else link.dropped,
                    rejected=dict(peer.rejected),
                )
            )
        return tuple(found)

    @property
    def connected(self) -> tuple[int, ...]:
        """Indexes of the members with a working link, ascending."""
        return tuple(sorted(index for index, peer in self._peers.items() if peer.link is not None))

    @property
    def policy(self) -> LinkPolicy:
        return self._policy

    def set_policy(self, policy: LinkPolicy) -> None:
        """Disturb the links as `policy` says; development networks only, `FaultsRefused` otherwise (C5)."""
        if not self._settings.development:
            raise FaultsRefused("link faults exist on development networks only")
        self._policy = policy
        for index, peer in self._peers.items():
            if peer.link is not None and self._severed(index):
                peer.link.close("cut by a fault")

    # -- LinkOwner ---------------------------------------------------------------------------------------------

    @property
    def signer(self) -> HelloSigner:
        return self._signer

    def height(self) -> int:
        return self._callbacks.height()

    def identify(self, link: Link, certificate_der: bytes) -> Remote | None:
        self._unproven[link] = None
        try:
            index = self._pins.get(spki_sha256(certificate_der))
        except CertificateMalformed:
            return None
        peer = None if index is None else self._peers.get(index)
        if index is None or peer is None or self._severed(index):
            return None
        if peer.demerits.until_ns > time.monotonic_ns():
            return None
        node_id = peer.node.node_id
        pending = sum(1 for other in self._unproven if other.remote is not None and other.remote.node_id == node_id)
        if pending >= PENDING_MAX:
            return None
        keys = tuple(key.public_key for key in peer.node.consensus)
        return Remote(node_id=peer.node.node_id, keys=keys)

    def ends(self, remote: Remote, certificate_der: bytes) -> LinkEnds:
        return LinkEnds(
            chain_id=self._settings.chain_id,
            own_node_id=self._settings.own_node_id,
            peer_node_id=remote.node_id,
            own_certificate=self._own_certificate,
            peer_certificate=certificate_der,
            peer_keys=remote.keys,
        )

    def admitted(self, link: Link) -> bool:
        peer = self._peer_of(link)
        if peer is None or self._closing:
            return False
        self._unproven.pop(link, None)
        old = peer.link
        if old is not None:
            if self._preferred(peer, old) and not self._preferred(peer, link):
                return False
            peer.link = None
            old.close("replaced by a newer link")
            self._callbacks.on_down(peer.index)
        peer.link = link
        peer.problem = ""
        peer.free_ns = peer.last_ns = 0
        self._callbacks.on_up(peer.index)
        return True

    def received(self, link: Link, message: PeerMessage) -> bool:
        peer = self._peer_of(link)
        if peer is None or peer.link is not link:
            return True  # a link that was replaced: what it still had to say is dropped
        return self._callbacks.on_message(peer.index, message) is not False

    def misbehaved(self, link: Link, reason: str, detail: str) -> None:
        peer = self._peer_of(link)
        if peer is None:
            self._callbacks.on_penalty(UNKNOWN, reason)
        else:
            self._callbacks.on_penalty(peer.index, reason)
            peer.problem = detail
            self.penalise(peer.index, reason)

    def passed_over(self, link: Link, reason: str) -> None:
        peer = self._peer_of(link)
        if peer is not None:
            self._callbacks.on_reject(peer.index, reason)
            self.reject(peer.index, reason)

    def closed(self, link: Link) -> None:
        self._unproven.pop(link, None)
        peer = self._peer_of(link)
        if peer is None:
            return
        if peer.link is link:
            peer.link = None
            peer.problem = link.problem
            peer.down_since_ns = time.monotonic_ns()
            self._callbacks.on_down(peer.index)
        elif peer.link is None:
            peer.problem = link.problem

    # -- private -----------------------------------------------------------------------------------------------

    def _adopt(self, members: Sequence[Member]) -> tuple[Member, ...]:
        others = tuple(member for member in members if member.node.node_id != self._settings.own_node_id)
        by_pin = pins([member.node for member in others])
        indexes = {member.node.node_id: member.index for member in others}
        self._pins = {pin: indexes[node.node_id] for pin, node in by_pin.items()}
        known, self._by_node, self._peers = self._by_node, {}, {}
        for member in others:
            peer = known.pop(member.node.node_id, None) or _Peer(member.index, member.node, member.address)
            self._peers[member.index] = self._by_node[member.node.node_id] = peer
            shown = {pin.spki_sha256 for pin in peer.node.tls} <= {pin.spki_sha256 for pin in member.node.tls}
            if peer.link is not None and not shown:
                peer.link.close("its TLS key is not registered any more")
            if peer.node.consensus != member.node.consensus:
                peer.demerits = Demerits()  # its hello was refused for a key that is known now
            peer.index, peer.node, peer.address = member.index, member.node, member.address
        for gone in known.values():
            if gone.dialler is not None:
                gone.dialler.cancel()
            if gone.link is not None:
                gone.link.close("its node has no place on the network any more")
                self._callbacks.on_down(gone.index)
            gone.index = -1
        return others

    def _peer_of(self, link: Link) -> _Peer | None:
        """Return the node at the other end, as long as it has a place here."""
        return None if link.remote is None else self._by_node.get(link.remote.node_id)

    def _new_link(self, expected: str) -> Link:
        return Link(self, expected, self._settings.outbound_max_bytes, self._callbacks.spent)

    def _we_dial(self, index: int) -> bool:
        """Tell whether it is on us to dial: we have no vote, or the lower index of two that have one."""
        own = self._own_index
        return own is None or own < index < GUEST_FIRST

    def _preferred(self, peer: _Peer, link: Link) -> bool:
        """Tell whether `link` was dialled by the end that dials first."""
        return bool(link.expected) == self._we_dial(peer.index)

    def _severed(self, index: int) -> bool:
        own = self._own_index
        return own is not None and self._policy.severed(own, index)

    def _pass(self, index: int, peer: _Peer, kind: int, data: bytes) -> None:
        """Queue a frame on a link, or let the fault policy decide about it."""
        link = peer.link
        if link is None:
            return
        own = self._own_index
        rule = CLEAR if own is None else self._policy.rule(own, index)
        if rule.transparent:
            link.send(kind, data)
            if self._flush_handle is None:
                self._flush_handle = asyncio.get_running_loop().call_soon(self.flush)
            return
        now = time.monotonic_ns()
        fate = passage(
            rule,
            now_ns=now,
            size_bytes=len(data),
            free_ns=peer.free_ns,
            last_ns=peer.last_ns,
            draw=secrets.randbits(64),
        )
        if fate.dropped:
            return
        peer.free_ns, peer.last_ns = fate.free_ns, fate.arrives_ns
        loop = asyncio.get_running_loop()
        peer.delayed.append((link, kind, data))
        loop.call_later(max(0, fate.arrives_ns - now) / 1e9, _deliver, peer)

    def _dial(self, peer: _Peer) -> None:
        if peer.address is None or (peer.dialler is not None and not peer.dialler.done()):
            return
        name = f"dial node {peer.node.node_id}"
        peer.dialler = asyncio.get_running_loop().create_task(self._keep_up(peer), name=name)

    async def _keep_up(self, peer: _Peer) -> None:
        """Dial a node whenever there is no link and it is our turn, for as long as it has a place here."""
        pause = FIRST_PAUSE_S
        while peer.index >= 0:
            if peer.link is not None:
                await asyncio.shield(peer.link.ended)
                pause = FIRST_PAUSE_S
                continue
            now = time.monotonic_ns()
            waits = [0.0, (peer.demerits.until_ns - now) / 1e9]
            if not self._we_dial(peer.index):
                waits.append(FALLBACK_S - (now - peer.down_since_ns) / 1e9)
            if max(waits) > 0 or self._severed(peer.index):
                await asyncio.sleep(max(FIRST_PAUSE_S, *waits))
                continue
            await self._dial_once(peer)
            if peer.link is None:
                spread = 750 + secrets.randbelow(501)  # thousandths, so that a restarted network does not dial in step
                await asyncio.sleep(pause * spread / 1000)
                pause = min(pause * 2, float(self._settings.reconnect_max_s))

    async def _dial_once(self, peer: _Peer) -> None:
        address = peer.address
        if address is None:
            peer.problem = "its address is unknown; set it with peers.addresses"
            await asyncio.sleep(float(self._settings.reconnect_max_s))
            return
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                _, link = await loop.create_connection(
                    lambda: self._new_link(peer.node.node_id),
                    address.host,
                    address.port,
                    ssl=self._client_context,
                    server_hostname="",
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                )
                await link.opened
        except (OSError, TimeoutError) as error:
            peer.problem = reason_of(error)
            return
        if link.state is LinkState.CLOSED and peer.link is None:
            peer.problem = link.problem


def _deliver(peer: _Peer) -> None:
    """Send the oldest delayed frame: arrivals never overtake, and timers of one moment fire in any order."""
    link, kind, data = peer.delayed.popleft()
    link.send(kind, data)
    link.flush()
