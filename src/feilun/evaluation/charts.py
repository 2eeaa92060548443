"""The report's pictures: small pure functions from numbers to inline SVG.

Positions are percentages, so that a picture fills any width while its text keeps its size. Colours come from the
page's style sheet by class name; shape and text always say the same as colour. This module knows numbers and labels. It
does not know languages, exams or files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

_CURVE_HEIGHT = 220


def _svg(height: int, title: str, parts: Sequence[str]) -> Markup:
    head = f'<svg class="chart" width="100%" height="{height}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>")


def _text(x: float, y: float, text: str, anchor: str = "start", name: str = "tick") -> str:
    return f'<text class="{name}" x="{x:.2f}%" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def bars(rows: Sequence[tuple[str, float, str]], title: str) -> Markup:
    """Return one bar for each (label, share 0–1, class ``before`` or ``after``), label above, percentage beside it."""
    parts: list[str] = []
    for index, (label, share, name) in enumerate(rows):
        top, width = index * 58, min(1.0, max(0.0, share)) * 100
        inside = width > 82
        parts += [
            _text(0, top + 14, label, name="label"),
            f'<rect class="rail" x="0" y="{top + 22}" width="100%" height="24" rx="4"/>',
            f'<rect class="bar {name}" x="0" y="{top + 22}" width="{width:.2f}%" height="24" rx="4"/>',
            _text(
                width - 1.5 if inside else width + 1.5,
                top + 39,
                f"{100 * share:.0f} %",
                "end" if inside else "start",
                "value inside" if inside else "value",
            ),
        ]
    return _svg(len(rows) * 58 - 8, title, parts)


def _round_out(low: float, high: float) -> tuple[float, float, float]:
    """Return a range that holds both in about six whole steps, and the step: 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-9)
    raw = span / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def interval(
    difference: float, ends: tuple[float, float], title: str, labels: tuple[str, str], margin: float | None = None
) -> Markup:
    """Return the difference (shares) as a dot with its 95 % interval on a line of percentage points.

    ``labels`` name the zero line and the margin line at ``-margin``, left of which the candidate is refused.
    """
    points = [100 * value for value in (0.0, difference, *ends, *((-margin,) if margin is not None else ()))]
    low, high, step = _round_out(min(points) - 2, max(points) + 2)

    def x(value: float) -> float:
        return 4 + 92 * (value - low) / (high - low)

    parts = ['<line class="axis" x1="4%" x2="96%" y1="76" y2="76"/>']
    for index in range(round((high - low) / step) + 1):
        tick = low + index * step
        parts.append(f'<line class="axis" x1="{x(tick):.2f}%" x2="{x(tick):.2f}%" y1="73" y2="79"/>')
        parts.append(_text(x(tick), 96, f"{tick:+.0f}".replace("-", "\u2212").replace("+0", "0"), "middle"))
    if margin is not None:
        edge = x(-100 * margin)
        parts.insert(0, f'<rect class="forbidden" x="4%" y="24" width="{edge - 4:.2f}%" height="52"/>')
        parts.append(f'<line class="margin" x1="{edge:.2f}%" x2="{edge:.2f}%" y1="22" y2="76"/>')
        parts.append(_text(edge, 14, labels[1], "start" if edge < 25 else "middle", "label limit"))
    zero = x(0)
    parts.append(f'<line class="zero" x1="{zero:.2f}%" x2="{zero:.2f}%" y1="22" y2="76"/>')
    if margin is None:
        parts.append(_text(zero, 14, labels[0], "start" if zero < 25 else "end" if zero > 75 else "middle"))
    left, right = x(100 * ends[0]), x(100 * ends[1])
    parts += [
        f'<line class="whisker" x1="{left:.2f}%" x2="{right:.2f}%" y1="50" y2="50"/>',
        f'<line class="whisker" x1="{left:.2f}%" x2="{left:.2f}%" y1="41" y2="59"/>',
        f'<line class="whisker" x1="{right:.2f}%" x2="{right:.2f}%" y1="41" y2="59"/>',
        f'<circle class="dot after" cx="{x(100 * difference):.2f}%" cy="50" r="7"/>',
    ]
    return _svg(102, title, parts)


def change(before: float, after: float, title: str) -> Markup:
    """Return a line from a hollow dot (share before) to a full dot (share after) on a rail from 0 to 100 %."""

    def x(share: float) -> str:
        return f"{3 + 94 * min(1.0, max(0.0, share)):.2f}%"

    return _svg(
        22,
        title,
        [
            '<line class="track" x1="3%" x2="97%" y1="11" y2="11"/>',
            f'<line class="link" x1="{x(before)}" x2="{x(after)}" y1="11" y2="11"/>',
            f'<circle class="dot before" cx="{x(before)}" cy="11" r="6"/>',
            f'<circle class="dot after" cx="{x(after)}" cy="11" r="6"/>',
        ],
    )


def curve(points: Sequence[tuple[int, float]], title: str, labels: tuple[str, str]) -> Markup:
    """Return the loss by step: every point as a thin line, a running mean as a thick one, axes from zero loss.

    ``labels`` name the two axes (step, loss). Points that are not finite are left out; fewer than two draw nothing.
    """
    kept = [(step, loss) for step, loss in points if math.isfinite(loss)]
    if len(kept) < 2:
        return Markup("")
    first, last = kept[0][0], max(kept[-1][0], kept[0][0] + 1)
    _, top, rise = _round_out(0.0, max(*(loss for _, loss in kept), 1e-6))

    def path(rows: Sequence[tuple[int, float]]) -> str:
        return " ".join(f"{100 * (s - first) / (last - first):.2f},{100 - 100 * max(0, v) / top:.2f}" for s, v in rows)

    plot = _CURVE_HEIGHT - 52
    parts = [_text(0, 12, labels[1], name="label")]
    for index in range(round(top / rise) + 1):
        height = 22 + plot * (1 - index * rise / top)
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{height:.1f}" y2="{height:.1f}"/>')
        if index:
            parts.append(_text(100, height + 13, f"{index * rise:.3g}", "end", "tick halo"))
    parts += [
        (
            f'<svg x="0" y="22" width="100%" height="{plot}" viewBox="0 0 100 100" preserveAspectRatio="none">'
            f'<polyline class="raw" points="{path(kept)}"/>'
            f'<polyline class="trend" points="{path(_smooth(kept))}"/></svg>'
        ),
        _text(0, _CURVE_HEIGHT - 10, str(first)),
        _text(50, _CURVE_HEIGHT - 10, labels[0], "middle", "label"),
        _text(100, _CURVE_HEIGHT - 10, str(last), "end"),
    ]
    return _svg(_CURVE_HEIGHT, title, parts)


def _smooth(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    # The window shrinks towards both ends, so that the line starts and ends where the data do.
    widest, last = max(1, len(points) // 20), len(points) - 1
    smooth = []
    for at, (step, _) in enumerate(points):
        reach = min(widest, at, last - at)
        near = [loss for _, loss in points[at - reach : at + reach + 1]]
        smooth.append((step, sum(near) / len(near)))
    return smooth
