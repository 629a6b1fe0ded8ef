"""One call of one operation: who asks, over which state, with which checked parameters; and its answer.

Handlers are plain functions from `Call` to `Answer`. The HTTP listener and the pages both reach them through
`engine.Engine`, so a page can do exactly what a client can do (U3).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from ledger.state import StateView
from node.access.enforce import Gate
from node.api.ports import NodeService
from node.api.query import Query
from node.api.routes import Operation

if TYPE_CHECKING:
    from node.api.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks. `kind`: "anonymous", "token" or "session"; `token_id` names the token behind both of the latter."""

    kind: str
    token_id: str = ""
    company_id: str = ""
    user_id: str = ""
    label: str = ""
    scopes: frozenset[str] = frozenset()
    address: str = ""

    @property
    def known(self) -> bool:
        return self.kind != "anonymous"


ANONYMOUS = Principal(kind="anonymous")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """All a handler may look at. `view` and `gate` are of one height (S66)."""

    engine: Engine
    service: NodeService
    operation: Operation
    principal: Principal
    view: StateView
    gate: Gate
    wall_ms: int
    path: Mapping[str, str] = field(default_factory=dict)
    query: Query = field(default_factory=lambda: Query({}))
    body: bytes = b""
    prefer_wait_s: int = 0
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`content` becomes JSON after `schema` and `height` were put in front of it (U11, U25).

    `next_cursor` is for paged answers; `of_state` False marks answers that are about this moment, not about a height.
    """

    content: Mapping[str, Any]
    status: int = 200
    next_cursor: str = ""
    of_state: bool = True
    location: str = ""


Handler: TypeAlias = Callable[[Call], Awaitable[Answer]]
