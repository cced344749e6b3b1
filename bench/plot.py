"""A bar chart as SVG: one bar a contender, its value behind it; readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, LABELS, VALUES, BAR, GAP, TOP = 760, 250, 90, 22, 8, 44
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-size:14px;font-weight:600}.o{fill:#0b6e4f}.b{fill:#8c959f}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.o{fill:#3fb68b}.b{fill:#6e7681}}"
)


def bars(title: str, values: Mapping[str, float], unit: str, ours: str = "callslip") -> str:
    """The chart. Bars whose name begins with `ours` stand out."""
    longest = max(values.values(), default=0) or 1
    height = TOP + len(values) * (BAR + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}">',
        f"<style>{STYLE}</style>",
        f'<text class="t" x="0" y="16">{escape(title)}</text><text x="0" y="34">{escape(unit)}</text>',
    ]
    for number, (name, value) in enumerate(values.items()):
        y = TOP + number * (BAR + GAP)
        length = max(1, round((WIDTH - LABELS - VALUES) * value / longest))
        kind = "o" if name.startswith(ours) else "b"
        parts += [
            f'<text x="{LABELS - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{length}" height="{BAR}" rx="3"/>',
            f'<text x="{LABELS + length + 6}" y="{y + 16}">{_short(value)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
