"""The enforcement points of the node: route, read and feed ask here, and here `decide` is asked (S66-S70).

A `Gate` is made for one request, or for one delivered height of a stream, over one state view. It holds no
rule of its own: it only names resources.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.access.decide import decide
from ledger.access.model import ACTION_KINDS, Action, Context, Decision, Point, Resource, Subject
from node.access.views import View, context_at, subject_of


class Gate:
    """Who asks, over which state, at which point. `subject` is None for a user that the registry does not know."""

    __slots__ = ("_context", "_node_company", "_seen", "subject")

    def __init__(
        self,
        view: View,
        *,
        user_id: str,
        company_id: str,
        node_company: str,
        wall_ms: int,
        block_time_ms: int,
        point: Point,
    ) -> None:
        self.subject: Subject | None = subject_of(view, user_id, company_id)
        self._context: Context = context_at(view, wall_ms=wall_ms, block_time_ms=block_time_ms, point=point)
        self._node_company = node_company
        self._seen: dict[tuple[Action, tuple[str, ...]], Decision] = {}

    def route(self, action: Action) -> Decision:
        """Decide whether the subject may use a route at all (S67).

        Routes about the node or its tokens belong to the node's own company. Routes that read business rows are
        asked about the subject's own company; each row is asked again with its parties (`sees`).
        """
        owner = "" if self.subject is None else self.subject.company_id
        if action in (Action.NODE_READ, Action.NODE_OPERATE, Action.TOKEN_MANAGE):
            owner = self._node_company
        return decide(
            self.subject,
            action,
            Resource(kind=ACTION_KINDS[action], id=ACTION_KINDS[action], owner=owner),
            self._context,
        )

    def about(self, action: Action, parties: Sequence[str], object_id: str = "") -> Decision:
        """Decide about one object that names `parties`. The answer depends on the parties, not on the id."""
        key = (action, tuple(sorted(parties)))
        found = self._seen.get(key)
        if found is None:
            found = decide(
                self.subject,
                action,
                Resource(kind=ACTION_KINDS[action], id=object_id, parties=key[1]),
                self._context,
            )
            self._seen[key] = found
        return found

    def sees(self, parties: Sequence[str], object_id: str = "") -> bool:
        """Tell whether a business row, receipt or event that names `parties` may be shown (F3, S70)."""
        return self.about(Action.BUSINESS_READ, parties, object_id).allow

    def reads_document(self, parties: Sequence[str], object_id: str) -> bool:
        """Tell whether facts of the sealed document behind an object may be shown (S69)."""
        return self.about(Action.DOCUMENT_READ, parties, object_id).allow

    @property
    def height(self) -> int:
        """Height of the state the decisions are made over (`Decision.state_version`, S21)."""
        return self._context.height
