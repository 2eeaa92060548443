"""The page's pictures: small pure functions from numbers to inline SVG.

Positions are percentages, so that a picture fills any width while its text keeps its size.
This module knows numbers and labels. It does not know languages or reports.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape


def _svg(height: int, title: str, parts: Sequence[str]) -> Markup:
    head = f'<svg class="chart" width="100%" height="{height}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>")


def band(parts: Sequence[tuple[str, int, str]], title: str) -> Markup:
    """Return one band that is cut into (label, count, class) by their shares, with the labels below it."""
    total = sum(count for _, count, _ in parts) or 1
    drawn: list[str] = []
    start = 0.0
    for place, (label, count, name) in enumerate(parts):
        width = 100 * count / total
        drawn.append(f'<rect class="{name}" x="{start:.3f}%" y="0" width="{width:.3f}%" height="28"/>')
        drawn.append(f'<rect class="{name}" x="0" y="{44 + 24 * place}" width="14" height="14" rx="3"/>')
        text = f"{label}: {count:,} ({100 * count / total:.1f} %)"
        drawn.append(f'<text x="22" y="{56 + 24 * place}">{escape(text)}</text>')
        start += width
    return _svg(48 + 24 * len(parts), title, drawn)


def bars(rows: Sequence[tuple[str, int]], title: str) -> Markup:
    """Return a bar for each (label, count), the longest filling the width."""
    most = max((count for _, count in rows), default=1) or 1
    drawn: list[str] = []
    for place, (label, count) in enumerate(rows):
        top = 40 * place
        drawn.append(f'<text class="label" x="0" y="{top + 13}">{escape(label[:80])}</text>')
        drawn.append(f'<text class="count" x="100%" y="{top + 13}" text-anchor="end">{count:,}</text>')
        drawn.append(f'<rect class="rail" x="0" y="{top + 19}" width="100%" height="8" rx="4"/>')
        drawn.append(f'<rect class="bar" x="0" y="{top + 19}" width="{100 * count / most:.2f}%" height="8" rx="4"/>')
    return _svg(max(1, 40 * len(rows) - 8), title, drawn)


def histogram(counts: Sequence[int], labels: Sequence[str], title: str) -> Markup:
    """Return a column for each count."""
    most, width = max(counts, default=1) or 1, 100 / max(1, len(counts))
    drawn: list[str] = []
    for place, (count, label) in enumerate(zip(counts, labels, strict=True)):
        tall, left = 120 * count / most, place * width
        place_of = f'x="{left + 0.4:.2f}%" y="{130 - tall:.1f}" width="{width - 0.8:.2f}%" height="{tall:.1f}"'
        drawn.append(f'<rect class="bar" {place_of}/>')
        drawn.append(f'<text x="{left + width / 2:.2f}%" y="148" text-anchor="middle">{escape(label)}</text>')
    return _svg(156, title, drawn)
