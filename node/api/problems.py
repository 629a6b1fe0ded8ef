"""One table of problem codes (U2, U18): HTTP status, exit code, retry, and a title in both languages.

API errors, exit codes of the command line, metric labels and pages all read this table. Codes never change meaning.
`Problem` is raised by handlers and becomes an RFC 9457 document in one place (`server.py`, U33).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final


class Exit(IntEnum):
    """Exit codes of the command line; they never change meaning (U18)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    REJECTED = 5
    CONFLICT = 6
    UNKNOWN_OUTCOME = 7
    UNAVAILABLE = 8
    NO_QUORUM = 9
    FINDINGS = 10
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One row. `en` and `zh` are titles, the same for every problem of the code."""

    code: str
    status: int
    exit: Exit
    retryable: bool
    en: str
    zh: str


_ROWS: Final = (
    ProblemKind("malformed", 400, Exit.REJECTED, False, "The request is not well formed", "请求格式不正确"),
    ProblemKind("invalid", 422, Exit.REJECTED, False, "A value is not accepted", "有取值不被接受"),
    ProblemKind("too_large", 413, Exit.REJECTED, False, "The request is over its size limit", "请求超过大小限制"),
    ProblemKind("media_type", 415, Exit.REJECTED, False, "The body has the wrong media type", "请求体的媒体类型不正确"),
    ProblemKind("bad_signature", 422, Exit.REJECTED, False, "A signature is not accepted", "签名不被接受"),
    ProblemKind("unauthenticated", 401, Exit.NOT_ALLOWED, False, "No valid token or session", "没有有效的令牌或会话"),
    ProblemKind("forbidden", 403, Exit.NOT_ALLOWED, False, "Your role does not allow this", "您的角色不允许此操作"),
    ProblemKind("wrong_host", 421, Exit.NOT_ALLOWED, False, "This host name is not served here", "此处不提供该主机名"),
    ProblemKind("not_found", 404, Exit.NOT_FOUND, False, "Not found", "未找到"),
    ProblemKind("method_not_allowed", 405, Exit.USAGE, False, "This address has no such method", "该地址不支持此方法"),
    ProblemKind("height_pruned", 410, Exit.CONFLICT, False, "This height is not held here", "本节点不保存该高度"),
    ProblemKind("cursor_expired", 410, Exit.CONFLICT, False, "This cursor is no longer held", "该游标已不再保存"),
    ProblemKind("conflict", 409, Exit.CONFLICT, False, "Already used", "已被使用"),
    ProblemKind("stale", 412, Exit.CONFLICT, False, "The version has moved", "版本已变化"),
    ProblemKind("key_reused", 422, Exit.CONFLICT, False, "The key was used with another body", "幂等键已用于其他内容"),
    ProblemKind("in_flight", 409, Exit.CONFLICT, True, "The same request is still running", "相同请求仍在处理"),
    ProblemKind("rate_limited", 429, Exit.UNAVAILABLE, True, "Too many requests", "请求过于频繁"),
    ProblemKind("mempool_full", 503, Exit.UNAVAILABLE, True, "The waiting list is full", "等待队列已满"),
    ProblemKind("not_ready", 503, Exit.UNAVAILABLE, True, "The node is not ready", "节点尚未就绪"),
    ProblemKind("store_failed", 503, Exit.UNAVAILABLE, True, "The node cannot write to its disk", "节点无法写入磁盘"),
    ProblemKind("timeout", 408, Exit.UNAVAILABLE, True, "The request arrived too slowly", "请求到达过慢"),
    ProblemKind("internal", 500, Exit.FAILED, True, "Internal error", "内部错误"),
    # reasons of the mempool, as they come back from a submission (LR2, LR3)
    ProblemKind("expired", 422, Exit.CONFLICT, False, "The validity height has passed", "有效高度已过"),
    ProblemKind("duplicate", 409, Exit.CONFLICT, False, "Already in the chain", "已在链上"),
    ProblemKind("bad_nonce", 409, Exit.CONFLICT, False, "The nonce is used or out of range", "随机数已用或超出范围"),
    ProblemKind("bad_signer", 422, Exit.REJECTED, False, "A signer is not in force", "签名人当前无效"),
    ProblemKind("quota", 429, Exit.UNAVAILABLE, True, "The quota of the company is used up", "公司配额已用完"),
)  # fmt: skip

PROBLEMS: Final = {row.code: row for row in _ROWS}

TYPE_PREFIX: Final = "/docs/problems#"
"""`type` of a problem: the section of the reference page of this node that explains the code."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field. `pointer` is a JSON pointer, a query parameter as `?name`, or a header as `Name:`."""

    pointer: str
    code: str
    msg: str


class Problem(Exception):
    """A refusal that a person or a program must be able to act on: names the rule, the field and the next step."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        next_step: str = "",
        tx_id: bytes | None = None,
        retry_after_s: int = 0,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.kind = PROBLEMS[code]
        self.detail = detail
        self.errors = tuple(errors)
        self.next_step = next_step
        self.tx_id = tx_id
        self.retry_after_s = retry_after_s
        self.extra = extra or {}

    @property
    def code(self) -> str:
        return self.kind.code

    @property
    def status(self) -> int:
        return self.kind.status

    def document(self, request_id: str = "") -> dict[str, Any]:
        """Return the problem document (RFC 9457). `request_id` is left out where the body must not vary (S53)."""
        body: dict[str, Any] = {
            "schema": "hansa.problem/1",
            "type": TYPE_PREFIX + self.kind.code,
            "title": self.kind.en,
            "status": self.kind.status,
            "code": self.kind.code,
            "detail": self.detail or self.kind.en,
            "retryable": self.kind.retryable,
        }
        if self.errors:
            body["errors"] = [{"pointer": e.pointer, "code": e.code, "msg": e.msg} for e in self.errors]
        if self.next_step:
            body["next"] = self.next_step
        if self.tx_id is not None:
            body["tx_id"] = self.tx_id.hex()
        if request_id and self.kind.code != "not_found":
            body["request_id"] = request_id
        body.update(self.extra)
        return body


def height_pruned(oldest: int, asked: str) -> Problem:
    """Return the answer to a question about blocks that are not held: which ones are, and where to ask."""
    return Problem(
        "height_pruned",
        f"{asked} Blocks, receipts and events are held from height {oldest} on.",
        next_step="Ask the node of a company that keeps older blocks.",
        extra={"oldest_height": oldest},
    )


def not_found() -> Problem:
    """Return the one answer for what is unknown and for what the caller may not see (S53): same body, same work."""
    return Problem("not_found", "Nothing here under that id that you can see.")


def invalid(pointer: str, msg: str, *, code: str = "invalid", next_step: str = "") -> Problem:
    """Return a refusal of one field."""
    return Problem("invalid", f"{pointer}: {msg}", errors=(FieldError(pointer, code, msg),), next_step=next_step)


def kind_of(code: str) -> ProblemKind:
    """Return the row of a mempool or static-check code; codes of single static rules (LR2) count as `invalid`."""
    return PROBLEMS.get(code, PROBLEMS["invalid"])
