"""Amounts in Chinese words (`贰圆壹角贰分`), as invoices state them beside the figure (X16)."""

from __future__ import annotations

from typing import Final

_LENGTH_MAX: Final = 64
_DIGITS: Final = {
    c: n
    for n, pair in enumerate(("零〇", "壹一", "贰二", "叁三", "肆四", "伍五", "陆六", "柒七", "捌八", "玖九"))
    for c in pair
}
_SMALL: Final = {"拾": 10, "十": 10, "佰": 100, "百": 100, "仟": 1000, "千": 1000}
_GROUPS: Final = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_YUAN: Final = "圆元圓"
_MINUS: Final = ("(负数)", "（负数）", "负", "-")
_WHOLE: Final = "整正"


def chinese_amount(text: str) -> int | None:
    """Return the fen that `text` says, None if it is not an amount in words.

    >>> chinese_amount("贰圆壹角贰分"), chinese_amount("壹拾万零伍佰元整"), chinese_amount("负叁佰圆零伍分")
    (212, 10050000, -30005)
    """
    rest = "".join(text.split())
    if not rest or len(rest) > _LENGTH_MAX:
        return None
    sign = 1
    for mark in _MINUS:
        if rest.startswith(mark):
            sign, rest = -1, rest[len(mark) :]
            break
    rest = rest.rstrip(_WHOLE)
    yuan_at = next((place for place, c in enumerate(rest) if c in _YUAN), None)
    if yuan_at is None:
        yuan, tail = 0, rest
    else:
        whole = _whole(rest[:yuan_at])
        if whole is None:
            return None
        yuan, tail = whole, rest[yuan_at + 1 :]
    fen = _fraction(tail)
    if fen is None or (yuan_at is None and not tail):
        return None
    return sign * (yuan * 100 + fen)


def _whole(text: str) -> int | None:
    """Return the number before the yuan sign: digits with units, in groups of ten thousand."""
    if not text:
        return None
    total = group = 0
    digit: int | None = None
    for c in text:
        if c in _DIGITS:
            if digit:  # two digits without a unit between them
                return None
            digit = _DIGITS[c]
        elif c in _SMALL:
            group += (1 if digit is None or (digit == 0 and not group) else digit) * _SMALL[c]
            digit = None
        elif c in _GROUPS:
            group += digit or 0
            if c in "亿億":
                total = (total + group) * _GROUPS[c]
            else:
                total += group * _GROUPS[c]
            group, digit = 0, None
        else:
            return None
    return total + group + (digit or 0)


def _fraction(text: str) -> int | None:
    """Return the fen of `壹角贰分`, `零伍分`, `叁角` or nothing."""
    fen = 0
    digit: int | None = None
    for c in text:
        if c in _DIGITS:
            if digit:
                return None
            digit = _DIGITS[c]
        elif c in "角分" and digit is not None:
            fen += digit * (10 if c == "角" else 1)
            digit = None
        else:
            return None
    return fen if not digit else None
