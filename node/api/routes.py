"""The one table of operations (U1, S67): method, path, parameters, action, scope, weight and command of each.

Everything else is made from it: the aiohttp routes, the access check, the operation list of `/v1/status`, the
reference page and tests. `check_table` is called before the listener opens: a route without its row, or a row without
its handler, keeps the server from starting.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ledger.access.model import ACTION_KINDS, Action, Point


class Scope(Enum):
    """What a token may be used for. Ledger authority is never among them: that is only a signature (U28)."""

    NONE = "none"
    """No credential needed."""
    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"
    """Manage tokens of the own company."""


class Kind(Enum):
    """Type of a query parameter; each is matched as ASCII and bounded before it is converted (S15)."""

    INTEGER = "integer"
    DATE = "date"
    WORD = "word"
    ID = "id"
    TEXT = "text"
    CURRENCY = "currency"
    FLAG = "flag"
    CURSOR = "cursor"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One query parameter. `choices` closes the set of accepted words when it is not empty."""

    name: str
    kind: Kind
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row. `weight` is the price in the token buckets (S52); `command` the line of the CLI that does the same."""

    name: str
    method: str
    path: str
    action: Action
    """What `ledger.access.decide` is asked; its kind of resource follows from `ACTION_KINDS`."""
    scope: Scope
    weight: int
    schema: str
    """Name in the answer's `schema` field, without version (U11)."""
    command: str
    params: tuple[Param, ...] = ()
    body: str = ""
    """Media type of the request body; empty when there is none."""
    body_limit_bytes: int = 0
    object_level: bool = False
    """True when the answer is filtered or refused row by row (F3, S70)."""
    point: Point = "api"
    """The enforcement point (S67, S70)."""


KIB: Final = 1024
MIB: Final = 1024 * KIB

READ_COMMON: Final = (
    Param(name="min_height", kind=Kind.INTEGER),
    Param(name="at_height", kind=Kind.INTEGER),
)
PAGED: Final = (
    *READ_COMMON,
    Param(name="limit", kind=Kind.INTEGER),
    Param(name="cursor", kind=Kind.CURSOR),
    Param(name="count", kind=Kind.FLAG),
)
AS_OF: Final = (
    *READ_COMMON,
    Param(name="as_of", kind=Kind.DATE),
    Param(name="currency", kind=Kind.CURRENCY),
)

DOCUMENT_STATES: Final = (
    "issued", "received", "in_process", "under_query", "accepted", "rejected", "withdrawn", "cancelled",
)  # fmt: skip
DERIVED_STATES: Final = (
    "open", "part_paid", "part_settled", "overdue", "paid", "fully_credited", "set_off", "settled", "early",
    "rejected", "withdrawn", "cancelled", "disputed", "held", "due_soon",
)  # fmt: skip
"""Labels and flags of `finance.openitems.derive` (F20); "due_soon" is due within a week and not overdue."""
PAYMENT_PHASES: Final = (
    "proposed", "released", "confirmed", "reconciled", "failed", "timed_out", "returned",
)  # fmt: skip

OPERATIONS: Final[tuple[Operation, ...]] = (
    # the node and the network
    Operation(name="status", method="GET", path="/v1/status", action=Action.NODE_READ,
              scope=Scope.NONE, weight=1, schema="status", command="hansa node status"),
    Operation(name="network", method="GET", path="/v1/network", action=Action.NODE_READ,
              scope=Scope.READ, weight=1, schema="network", command="hansa cluster status"),
    Operation(name="consensus", method="GET", path="/v1/consensus", action=Action.NODE_READ,
              scope=Scope.READ, weight=1, schema="consensus", command="hansa node status -v"),
    Operation(name="why", method="GET", path="/v1/consensus/why", action=Action.NODE_READ,
              scope=Scope.READ, weight=1, schema="why", command="hansa node why",
              params=(Param(name="lang", kind=Kind.WORD, choices=("en", "zh-CN")),)),
    # the chain
    Operation(name="blocks", method="GET", path="/v1/blocks", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=5, schema="blocks", command="hansa block list", params=PAGED),
    Operation(name="block", method="GET", path="/v1/blocks/{block}", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=2, schema="block", command="hansa block show"),
    Operation(name="submit", method="POST", path="/v1/transactions", action=Action.SUBMIT,
              scope=Scope.SUBMIT, weight=5, schema="transaction", command="hansa tx submit",
              body="application/msgpack", body_limit_bytes=128 * KIB),
    Operation(name="submit_batch", method="POST", path="/v1/transactions/batch", action=Action.SUBMIT,
              scope=Scope.SUBMIT, weight=20, schema="transactions",
              command="hansa tx submit", body="application/msgpack", body_limit_bytes=MIB),
    Operation(name="transaction", method="GET", path="/v1/transactions/{tx}", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=1, schema="transaction", command="hansa tx show",
              params=(Param(name="wait", kind=Kind.SECONDS),
                      Param(name="until", kind=Kind.WORD, choices=("committed", "final")),
                      Param(name="proof", kind=Kind.FLAG)), object_level=True),
    Operation(name="state", method="GET", path="/v1/state/{key}", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=20, schema="state", command="hansa state get",
              params=(*READ_COMMON, Param(name="proof", kind=Kind.FLAG)), object_level=True),
    Operation(name="contracts", method="GET", path="/v1/contracts", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=2, schema="contracts", command="hansa contract list", params=READ_COMMON),
    Operation(name="contract", method="GET", path="/v1/contracts/{contract}", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=2, schema="contract", command="hansa contract show"),
    Operation(name="contract_history", method="GET", path="/v1/contract-history", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=10, schema="contract-history", command="hansa contract history",
              params=READ_COMMON),
    Operation(name="contract_review", method="POST", path="/v1/contract-reviews", action=Action.SUBMIT,
              scope=Scope.SUBMIT, weight=100, schema="contract-review", command="hansa contract propose",
              body="application/json", body_limit_bytes=1536 * KIB),
    Operation(name="rehearsal", method="POST", path="/v1/rehearsals", action=Action.SUBMIT,
              scope=Scope.SUBMIT, weight=100, schema="rehearsal", command="hansa contract simulate",
              body="application/json", body_limit_bytes=256 * KIB, params=READ_COMMON, object_level=True),
    Operation(name="plans", method="GET", path="/v1/contract-plans", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=5, schema="contract-plans", command="hansa contract plans", params=READ_COMMON),
    Operation(name="plan", method="GET", path="/v1/contract-plans/{plan}", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=5, schema="contract-plan", command="hansa contract approve",
              params=READ_COMMON),
    Operation(name="parked", method="GET", path="/v1/parked-entries", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=20, schema="parked-entries", command="hansa contract parked",
              params=READ_COMMON, object_level=True),
    Operation(name="companies", method="GET", path="/v1/companies", action=Action.NODE_READ,
              scope=Scope.READ, weight=2, schema="companies", command="hansa company list", params=READ_COMMON),
    Operation(name="users", method="GET", path="/v1/users", action=Action.NODE_READ,
              scope=Scope.READ, weight=2, schema="users", command="hansa user list", params=READ_COMMON,
              object_level=True),
    Operation(name="epochs", method="GET", path="/v1/epochs", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=5, schema="epochs", command="hansa company epochs", params=READ_COMMON),
    Operation(name="proposals", method="GET", path="/v1/proposals", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=5, schema="proposals", command="hansa company proposals", params=READ_COMMON),
    Operation(name="effect", method="POST", path="/v1/proposals/effect", action=Action.CHAIN_READ,
              scope=Scope.READ, weight=5, schema="effect", command="hansa company add --dry-run",
              body="application/json", body_limit_bytes=256 * KIB),
    Operation(name="admission", method="GET", path="/v1/admission", action=Action.NODE_READ,
              scope=Scope.READ, weight=1, schema="admission", command="hansa company ready"),
    Operation(name="events", method="GET", path="/v1/events", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=10, schema="event", command="hansa event tail",
              params=(Param(name="from", kind=Kind.CURSOR), Param(name="types", kind=Kind.TEXT),
                      Param(name="company", kind=Kind.ID), Param(name="limit", kind=Kind.INTEGER)),
              point="feed", object_level=True),
    # business
    Operation(name="inbox", method="GET", path="/v1/inbox", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=10, schema="inbox", command="hansa invoice list", object_level=True,
              params=(*READ_COMMON, Param(name="as_of", kind=Kind.DATE), Param(name="limit", kind=Kind.INTEGER))),
    Operation(name="invoices", method="GET", path="/v1/invoices", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=10, schema="invoices", command="hansa invoice list",
              params=(*PAGED, Param(name="as_of", kind=Kind.DATE),
                      Param(name="side", kind=Kind.WORD, choices=("sold", "bought")),
                      Param(name="partner", kind=Kind.ID),
                      Param(name="document", kind=Kind.WORD, choices=DOCUMENT_STATES),
                      Param(name="status", kind=Kind.WORD, choices=DERIVED_STATES),
                      Param(name="currency", kind=Kind.CURRENCY),
                      Param(name="due_from", kind=Kind.DATE), Param(name="due_to", kind=Kind.DATE)),
              object_level=True),
    Operation(name="invoice", method="GET", path="/v1/invoices/{invoice}", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=10, schema="invoice", command="hansa invoice show",
              params=(*READ_COMMON, Param(name="as_of", kind=Kind.DATE), Param(name="proof", kind=Kind.FLAG)),
              object_level=True),
    Operation(name="credits", method="GET", path="/v1/credits", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=10, schema="credits", command="hansa invoice list", params=PAGED,
              object_level=True),
    Operation(name="payments", method="GET", path="/v1/payments", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=10, schema="payments", command="hansa payment list",
              params=(*PAGED, Param(name="side", kind=Kind.WORD, choices=("paid", "received", "bank")),
                      Param(name="phase", kind=Kind.WORD, choices=PAYMENT_PHASES)), object_level=True),
    Operation(name="payment", method="GET", path="/v1/payments/{payment}", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=10, schema="payment", command="hansa payment show",
              params=READ_COMMON, object_level=True),
    Operation(name="limits", method="GET", path="/v1/limits", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=10, schema="limits", command="hansa limit list", params=READ_COMMON,
              object_level=True),
    # books
    Operation(name="journal", method="GET", path="/v1/ledger/journal", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=20, schema="journal", command="hansa ledger journal", object_level=True,
              params=(*PAGED, Param(name="as_of", kind=Kind.DATE), Param(name="from", kind=Kind.DATE),
                      Param(name="account", kind=Kind.WORD))),
    Operation(name="trial_balance", method="GET", path="/v1/ledger/trial-balance", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=20, schema="trial-balance",
              command="hansa ledger trial-balance", params=AS_OF, object_level=True),
    Operation(name="balances", method="GET", path="/v1/ledger/balances", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=20, schema="balances", command="hansa ledger balance", params=AS_OF,
              object_level=True),
    Operation(name="ageing", method="GET", path="/v1/ledger/ageing", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=20, schema="ageing", command="hansa ledger ageing", object_level=True,
              params=(*AS_OF, Param(name="side", kind=Kind.WORD, choices=("receivable", "payable")))),
    Operation(name="open_items", method="GET", path="/v1/ledger/open-items", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=20, schema="open-items", command="hansa ledger open-items",
              params=(*AS_OF, Param(name="side", kind=Kind.WORD, choices=("receivable", "payable"))),
              object_level=True),
    # documents of the own company: taken in and handed out, never those of others
    Operation(name="document_take", method="POST", path="/v1/documents", action=Action.SUBMIT,
              scope=Scope.SUBMIT, weight=50, schema="intake", command="hansa invoice import",
              body="application/octet-stream", body_limit_bytes=5 * MIB + KIB, object_level=True,
              params=(Param(name="name", kind=Kind.TEXT), Param(name="strict", kind=Kind.FLAG),
                      Param(name="terms_days", kind=Kind.INTEGER), Param(name="seller", kind=Kind.ID),
                      Param(name="buyer", kind=Kind.ID))),
    Operation(name="document", method="GET", path="/v1/documents/{root}", action=Action.DOCUMENT_READ,
              scope=Scope.READ, weight=20, schema="original", command="hansa invoice export",
              object_level=True),
    Operation(name="audit_pack", method="GET", path="/v1/audit/pack", action=Action.DOCUMENT_READ,
              scope=Scope.READ, weight=50, schema="pack", command="hansa audit export", object_level=True),
    # finding and entering
    Operation(name="search", method="GET", path="/v1/search", action=Action.BUSINESS_READ,
              scope=Scope.READ, weight=20, schema="search", command="hansa search", point="feed", object_level=True,
              params=(*READ_COMMON, Param(name="q", kind=Kind.TEXT))),
    Operation(name="whoami", method="GET", path="/v1/whoami", action=Action.NODE_READ,
              scope=Scope.READ, weight=1, schema="whoami", command="hansa whoami"),
    Operation(name="login_link", method="POST", path="/v1/login-links", action=Action.NODE_READ,
              scope=Scope.READ, weight=5, schema="login-link", command="hansa login --web"),
    Operation(name="tokens", method="GET", path="/v1/tokens", action=Action.TOKEN_MANAGE,
              scope=Scope.ADMIN, weight=2, schema="tokens", command="hansa token list", object_level=True),
    Operation(name="token_create", method="POST", path="/v1/tokens", action=Action.TOKEN_MANAGE,
              scope=Scope.ADMIN, weight=5, schema="token", command="hansa token create", body="application/json",
              body_limit_bytes=64 * KIB, object_level=True),
    Operation(name="token_revoke", method="DELETE", path="/v1/tokens/{token}", action=Action.TOKEN_MANAGE,
              scope=Scope.ADMIN, weight=5, schema="token", command="hansa token revoke",
              object_level=True),
)  # fmt: skip

BY_NAME: Final = {operation.name: operation for operation in OPERATIONS}


class IncompleteTable(Exception):
    """The table and the handlers do not match, or a row misses its access entry (S67). The server must not start."""


def check_table(handlers: Collection[str]) -> None:
    """Raise `IncompleteTable` unless every row has an access entry and a handler, and every handler a row (S67)."""
    names = [operation.name for operation in OPERATIONS]
    if len(set(names)) != len(names):
        raise IncompleteTable("two operations share one name")
    places = [(operation.method, operation.path) for operation in OPERATIONS]
    if len(set(places)) != len(places):
        raise IncompleteTable("two operations share one method and path")
    for operation in OPERATIONS:
        if operation.action not in ACTION_KINDS or operation.weight < 1:
            raise IncompleteTable(f"{operation.name} has no access row (action, kind of resource, weight)")
        if operation.method != "GET" and operation.scope is Scope.NONE:
            raise IncompleteTable(f"{operation.name} changes something without a credential")
    missing = sorted(set(names) - set(handlers))
    if missing:
        raise IncompleteTable(f"no handler for {', '.join(missing)}")
    surplus = sorted(set(handlers) - set(names))
    if surplus:
        raise IncompleteTable(f"no row for {', '.join(surplus)}")
