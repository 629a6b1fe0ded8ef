"""Operations of entering: one-time links for the browser, and the tokens of the own company (S45, S46)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ledger.registry.lookup import read_user
from node.api import shapes
from node.api.call import Answer, Call, Handler
from node.api.problems import FieldError, Problem, not_found
from node.api.sessions import LINK_MS
from node.api.tokens import DAY_MS, Token, TokenError


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /v1/tokens`."""

    user: str
    label: str = ""
    scopes: tuple[str, ...] = ("read",)
    networks: tuple[str, ...] = ()
    days: int = 30


async def login_link(call: Call) -> Answer:
    """Make a link that opens the pages as the caller, once, within 60 seconds."""
    code = call.engine.sessions.make_link(
        token_id=call.principal.token_id,
        company_id=call.principal.company_id,
        user_id=call.principal.user_id,
        now_ms=call.wall_ms,
    )
    return Answer(
        content={"path": f"/login/link/{code}", "expires": shapes.instant(call.wall_ms + LINK_MS)},
        status=201,
        of_state=False,
    )


async def tokens(call: Call) -> Answer:
    """The tokens of the caller's company, without secrets."""
    items = [_token(call, token) for token in call.service.tokens.list(call.principal.company_id)]
    return Answer(content={"items": items}, of_state=False)


async def token_create(call: Call) -> Answer:
    """Make a token for a user of the caller's company; its text is in this answer and never shown again."""
    try:
        wanted = msgspec.json.decode(call.body, type=TokenRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("malformed", str(error), errors=(FieldError("/", "malformed", str(error)),)) from None
    user = read_user(call.view, wanted.user)
    if user is None or user.company_id != call.principal.company_id:
        raise Problem(
            "invalid",
            "There is no such user in your company.",
            errors=(FieldError("/user", "invalid", "not a user of your company"),),
            next_step="hansa user list shows the users.",
        )
    try:
        token, text = call.service.tokens.create(
            company_id=user.company_id,
            user_id=user.user_id,
            label=wanted.label,
            scopes=wanted.scopes,
            networks=wanted.networks,
            now_ms=call.wall_ms,
            life_ms=wanted.days * DAY_MS,
        )
    except TokenError as error:
        raise Problem("invalid", error.what, next_step=error.next_step) from None
    return Answer(content={**_token(call, token), "token": text}, status=201, of_state=False)


async def token_revoke(call: Call) -> Answer:
    """End a token and the sessions opened by it."""
    known = {token.id for token in call.service.tokens.list(call.principal.company_id)}
    if call.path["token"] not in known:
        raise not_found()
    token = call.service.tokens.revoke(call.path["token"], call.wall_ms)
    if token is None:
        raise not_found()
    call.engine.sessions.close_token(token.id)
    return Answer(content=_token(call, token), of_state=False)


def _token(call: Call, token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "label": token.label,
        "user": token.user_id,
        "person": call.service.people.get(token.user_id, ""),
        "scopes": list(token.scopes),
        "networks": list(token.networks),
        "created": shapes.instant(token.created_ms),
        "expires": shapes.instant(token.expires_ms),
        "revoked": shapes.instant(token.revoked_ms),
        "last_used": shapes.instant(token.last_used_ms),
    }


HANDLERS: Final[Mapping[str, Handler]] = {
    "login_link": login_link,
    "tokens": tokens,
    "token_create": token_create,
    "token_revoke": token_revoke,
}
