"""The result as one HTML page: plots of throughput, latency and CPU time as SVG, nothing loaded, no scripts.

Colours come from variables, so the page follows the reader's light or dark setting; every plot has its figures beside
it as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from math import floor, log10
from typing import Final

from cli.bench.result import PARTS, Latency, Result, table

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 40
_TICKS: Final = 5

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5d6b7a; --line: #d5dce4; --paper: #fbfcfd; --a: #1f6f8b;
  --b: #c8553d; --c: #7a9e3f; --d: #8a5a9e; --e: #d19a2a; --f: #4b7bd1; --g: #b0477e; --h: #3f9e87; --i: #8c8f94;
  --j: #6b4f3a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #9aa7b4; --line: #36414d; --paper: #14191f; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 46rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--soft); }
.axis { stroke: var(--line); stroke-width: 1; } .curve { fill: none; stroke-width: 2; }
table { border-collapse: collapse; width: 100%; } td { padding: .2rem .6rem .2rem 0; vertical-align: top; }
td:first-child { color: var(--soft); white-space: nowrap; }
.noisy { border: 1px solid var(--b); padding: .5rem 1rem; }
"""
_COLOURS: Final = tuple("abcdefghij")


def render(result: Result) -> str:
    """Return the page."""
    rows = "".join(f"<tr><td>{escape(label)}</td><td>{escape(value)}</td></tr>" for label, value in table(result))
    noisy = ""
    if result.noise:
        noisy = f'<p class="noisy">Noisy run: {escape("; ".join(result.noise))}. Measure again on a quiet machine.</p>'
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>hansa bench</title><style>{_STYLE}</style></head><body>"
        f"<h1>hansa bench: {result.tx_per_s:,.0f} transactions/s, {result.ratio:.1%} of the signature limit</h1>"
        f"<p>{result.nodes} nodes on one machine, {result.signatures} signatures a call, {made}.</p>{noisy}"
        f"<h2>Throughput over time</h2>{throughput(result)}"
        f"<h2>Latency by share of the calls</h2>{latency_curves(result.latencies)}"
        f"<h2>Latency by load</h2>{latency_by_load(result.latencies)}"
        f"<h2>CPU time of a transaction at one node, in verifications (V)</h2>{cpu_bars(result)}"
        f"<h2>All figures</h2><table>{rows}</table></body></html>\n"
    )


def throughput(result: Result) -> str:
    """Return the plot of transactions per second while saturated, with the mean as a line."""
    points = list(result.timeline)
    if len(points) < 2:
        return "<p>The saturated phase was too short to plot.</p>"
    top = max(result.tx_per_s, *(value for _, value in points)) * 1.1
    frame = _Frame(points[0][0], points[-1][0], 0.0, top)
    mean = frame.y(result.tx_per_s)
    return frame.svg(
        "Transactions per second over time",
        "seconds",
        "transactions/s",
        _curve(frame, points, "a")
        + f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{mean:.1f}" y2="{mean:.1f}" stroke="var(--b)" '
        'stroke-dasharray="4 4"/>',
    )


def latency_curves(latencies: Sequence[Latency]) -> str:
    """Return the plot of latency (milliseconds) against the share of calls that were faster, one curve a load."""
    known = [found for found in latencies if len(found.samples) > 1]
    if not known:
        return "<p>No latency was measured.</p>"
    frame = _Frame(0.0, 100.0, 0.0, max(max(found.samples) for found in known) * 1.05)
    body = ""
    for place, found in enumerate(known):
        points = [(share, found.percentile(share / 100)) for share in (*range(1, 100), 99.5, 100)]
        colour = _COLOURS[place % len(_COLOURS)]
        body += _curve(frame, points, colour) + _key(place, colour, f"{found.load:.0%} of the maximum")
    return frame.svg("Latency by share of calls", "per cent of calls", "milliseconds", body)


def latency_by_load(latencies: Sequence[Latency]) -> str:
    """Return the plot of p50, p95 and p99 against the rate of arrivals."""
    known = sorted((found for found in latencies if found.samples), key=lambda found: found.tx_per_s)
    if not known:
        return "<p>No latency was measured.</p>"
    frame = _Frame(0.0, known[-1].tx_per_s * 1.1, 0.0, max(found.percentile(0.99) for found in known) * 1.1)
    body = ""
    for place, share in enumerate((0.5, 0.95, 0.99)):
        colour = _COLOURS[place]
        points = [(found.tx_per_s, found.percentile(share)) for found in known]
        body += _curve(frame, points, colour) + _key(place, colour, f"p{share * 100:.0f}")
        body += "".join(
            f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3" fill="var(--{colour})"/>' for x, y in points
        )
    return frame.svg("Latency by load", "transactions/s", "milliseconds", body)


def cpu_bars(result: Result) -> str:
    """Return one horizontal bar for each part, in V."""
    v = result.v_us
    spent = [(part, result.cpu_us_per_tx.get(part, 0.0) / v) for part in PARTS]
    longest = max((value for _, value in spent), default=0.0) or 1.0
    step, room = 24, WIDTH - LEFT - 2 * RIGHT - 60
    bars = ""
    for place, (part, value) in enumerate(spent):
        y = TOP + place * step
        bars += (
            f'<text x="{LEFT + 16}" y="{y + 13}" text-anchor="end">{part}</text>'
            f'<rect x="{LEFT + 24}" y="{y}" width="{max(1.0, value / longest * room):.1f}" height="17" '
            f'fill="var(--{_COLOURS[place % len(_COLOURS)]})"/>'
            f'<text x="{LEFT + 30 + value / longest * room:.1f}" y="{y + 13}">{value:.2f}</text>'
        )
    height = TOP + step * len(spent) + 8
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="CPU time by part, in verifications">{bars}</svg>'
    )


class _Frame:
    """Axes of one plot: from values to places."""

    def __init__(self, left: float, right: float, low: float, high: float) -> None:
        self._left, self._right = left, _round_end(left, right)
        self._low, self._high = low, _round_end(low, high)

    def x(self, value: float) -> float:
        """Return the horizontal place of a value."""
        return LEFT + (value - self._left) / (self._right - self._left) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return the vertical place of a value."""
        return HEIGHT - BOTTOM - (value - self._low) / (self._high - self._low) * (HEIGHT - TOP - BOTTOM)

    def svg(self, title: str, across: str, up: str, body: str) -> str:
        """Return the plot with its axes."""
        parts: list[str] = []
        for tick in range(_TICKS + 1):
            value = self._low + (self._high - self._low) * tick / _TICKS
            y = self.y(value)
            parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
            at = self._left + (self._right - self._left) * tick / _TICKS
            parts.append(
                f'<text x="{self.x(at):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_number(at)}</text>'
            )
        parts.append(f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{across}</text>')
        parts.append(f'<text x="{LEFT}" y="{TOP - 4}">{up}</text>')
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}{body}</svg>'
        )


def _round_end(start: float, end: float) -> float:
    """Return the first value from `end` on at which ticks stand at round numbers (1, 2, 2.5 or 5 times a power of ten).

    >>> _round_end(0, 769), _round_end(0, 229), _round_end(0, 100)
    (1000.0, 250.0, 100.0)
    """
    least = (end - start if end > start else 1.0) / _TICKS
    power = 10.0 ** floor(log10(least))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))
    return start + step * _TICKS


def _curve(frame: _Frame, points: Sequence[tuple[float, float]], colour: str) -> str:
    places = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
    return f'<polyline class="curve" stroke="var(--{colour})" points="{places}"/>'


def _key(place: int, colour: str, text: str) -> str:
    y = TOP + 12 + place * 16
    return (
        f'<rect x="{LEFT + 10}" y="{y - 9}" width="10" height="10" fill="var(--{colour})"/>'
        f'<text x="{LEFT + 26}" y="{y}">{escape(text)}</text>'
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.1f}"
