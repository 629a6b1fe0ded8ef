"""Runs operations: the same path for HTTP and for pages (U3). Door: `Engine.run`.

    row of the table -> scope of the token -> user and company in force -> decide (S67) -> min_height -> handler

A row that the caller may not see never leaves a handler; a route that the caller's role lacks is refused here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from finance.openitems import Rows
from ledger.access.model import Point
from ledger.registry.lookup import ACTIVE, read_company
from ledger.state import StateView
from node.access.enforce import Gate
from node.access.views import in_force
from node.api.books import BookKeeper
from node.api.call import Answer, Call, Handler, Principal
from node.api.history import Histories
from node.api.invoices import Judged
from node.api.ports import NodeService
from node.api.problems import Problem
from node.api.query import Query, parse
from node.api.routes import BY_NAME, Operation, Scope, check_table
from node.api.rows import Decoded

MIN_HEIGHT_WAIT_S: Final = 5.0


class Engine:
    """One per listener: the service, the handlers by name, and what requests share."""

    def __init__(self, service: NodeService, handlers: Mapping[str, Handler]) -> None:
        check_table(handlers)
        self.service = service
        self.sessions = service.sessions
        self.histories = Histories(service)
        self.judged: OrderedDict[str, tuple[int, str, list[Judged]]] = OrderedDict()
        """Company -> (height, day, its invoices as of the day)."""
        self.decoded = Decoded()
        self.keeper = BookKeeper()
        self.ledgers: OrderedDict[str, tuple[int, Rows]] = OrderedDict()
        """Company -> (height, business rows it may see): kept for the height they were read at."""
        self._handlers = handlers

    async def run(
        self,
        name: str,
        principal: Principal,
        *,
        path: Mapping[str, str] | None = None,
        query: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        prefer_wait_s: int = 0,
        language: str = "en",
    ) -> Answer:
        """Run one operation for one principal; raise `Problem` for every refusal."""
        operation = BY_NAME[name]
        checked = parse(operation, query)
        self.admit(operation, principal)
        view = await self.view_for(checked)
        gate = self.gate(principal, view, operation)
        answer = await self._handlers[name](
            Call(
                engine=self,
                service=self.service,
                operation=operation,
                principal=principal,
                view=view,
                gate=gate,
                wall_ms=self.service.wall_ms(),
                path=dict(path or {}),
                query=checked,
                body=body,
                prefer_wait_s=prefer_wait_s,
                language=language,
            )
        )
        if not answer.of_state or "height" in answer.content or operation.name == "events":
            return answer
        return replace(answer, content={"height": view.height, **answer.content})

    def admit(self, operation: Operation, principal: Principal) -> None:
        """Raise `unauthenticated` or `forbidden` unless the credential is in force and has the scope of the row."""
        if operation.scope is Scope.NONE:
            return
        if not principal.known:
            raise unauthenticated()
        view = self.service.view()
        if not in_force(view, principal.user_id, principal.company_id, self.service.wall_ms()):
            company = read_company(view, principal.company_id)
            if company is not None and company.status != ACTIVE:  # the credential is good, so its holder is told
                raise shut_out(company.status)
            raise unauthenticated()
        if operation.scope.value not in principal.scopes:
            raise Problem(
                "forbidden",
                f"This token lacks the scope {operation.scope.value!r}.",
                next_step="Ask for a token with that scope: hansa token create --scope " + operation.scope.value,
            )

    def gate(self, principal: Principal, view: StateView, operation: Operation) -> Gate:
        """Return the gate of a request over `view`, after the route itself was allowed (S67)."""
        gate = self.gate_at(principal, view, operation.point)
        if operation.scope is not Scope.NONE:
            decision = gate.route(operation.action)
            if not decision.allow:
                raise Problem(
                    "forbidden",
                    f"Your role does not allow {operation.action.value} ({decision.code.value}).",
                    next_step="Ask the administrator of your company for a role that may do this.",
                    extra={"decision": decision.code.value},
                )
        return gate

    def gate_at(self, principal: Principal, view: StateView, point: Point) -> Gate:
        """Return a gate over `view` without asking about a route: streams make one for each height (U39)."""
        head = self.service.head(view.height)
        return Gate(
            view,
            user_id=principal.user_id,
            company_id=principal.company_id,
            node_company=self.service.company_id,
            wall_ms=self.service.wall_ms(),
            block_time_ms=0 if head is None else head.header.time_ms,
            point=point,
        )

    async def view_for(self, query: Query) -> StateView:
        """Return the state view of a request, waiting briefly for `min_height` (U25)."""
        wanted = query.integer("min_height")
        if wanted is not None and self.service.event_height() < wanted:
            reached = await self.service.wait_height(wanted, timeout_s=MIN_HEIGHT_WAIT_S)
            if reached < wanted:
                raise Problem(
                    "not_ready",
                    f"This node has executed height {reached}, {wanted} was asked for.",
                    next_step="Try again, or leave out min_height.",
                    retry_after_s=1,
                )
        view = self.service.view()
        past = query.integer("at_height")
        if past is None or past == view.height:
            return view
        held = self.service.view_at(past)
        if held is None:
            oldest = self.service.oldest_state_height()
            raise Problem(
                "height_pruned",
                f"State is held for heights {oldest} to {view.height}, {past} was asked for.",
                next_step=f"Use at_height={view.height}; books take any date with as_of.",
                extra={"oldest_height": oldest},
            )
        return held


def shut_out(status: str) -> Problem:
    """Return the answer to a good credential of a company that is not active: suspended, left or expelled (S27)."""
    return Problem(
        "unauthenticated",
        f"Your company is not active on this network ({status}): its people are shut out.",
        next_step="The other companies decide; hansa doctor and /v1/status still say where this node stands.",
        extra={"company_status": status},
    )


def unauthenticated() -> Problem:
    """Return the one answer to every kind of missing or bad credential (S53)."""
    return Problem(
        "unauthenticated",
        "A valid token or session is needed.",
        next_step="Send 'Authorization: Bearer hansa_…', or open a session with hansa login --web.",
    )
