"""A picture of a run: for each measurement, how many times better tsstore is than each peer."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from benchmarks.report import OTHERS, PEERS, column_of, rounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_WIDTH = 960
_LEFT = 400
_RIGHT = 930
_TOP = 112
_ROW = 20
_BOTTOM = 56
#: Told apart with any eyes, on light and on dark (Okabe and Ito).
_COLOURS = dict(
    zip(
        (*PEERS, OTHERS),
        ("#e69f00", "#0072b2", "#cc79a7", "#009e73", "#d55e00", "#8c8c8c"),
        strict=True,
    )
)
#: A card of its own colour, so that it is readable wherever it stands.
_STYLE = """
.card { fill: #ffffff; stroke: #d0d7de }
.band { fill: #f3f5f7 }
.grid { stroke: #d8dee4 }
.one { stroke: #1f2328; stroke-width: 1.5 }
text { fill: #1f2328; font: 12px system-ui, sans-serif }
.title { font-size: 16px; font-weight: 600 }
.small { fill: #59636e; font-size: 11px }
.dot { stroke: #ffffff }
@media (prefers-color-scheme: dark) {
  .card { fill: #0d1117; stroke: #3d444d }
  .band { fill: #161b22 }
  .grid { stroke: #30363d }
  .one { stroke: #f0f6fc }
  text { fill: #f0f6fc }
  .small { fill: #9198a1 }
  .dot { stroke: #0d1117 }
}
"""


class _Axis:
    """Ratios on a scale of tens: whole decades around all of them."""

    def __init__(self, ratios: Sequence[float]) -> None:
        self.first = math.floor(math.log10(min([*ratios, 0.5])))
        self.last = math.ceil(math.log10(max([*ratios, 10])))

    def x(self, ratio: float) -> float:
        share = (math.log10(ratio) - self.first) / (self.last - self.first)
        return round(_LEFT + share * (_RIGHT - _LEFT), 1)

    def decades(self) -> Iterator[float]:
        for power in range(self.first, self.last + 1):
            yield 10.0**power


def draw(found: Mapping[str, Any]) -> str:
    """The picture as SVG.

    Args:
        found: what `report.as_json` returns.
    """
    lines = [line for line in found["lines"] if line["ratios"]]
    axis = _Axis([ratio for line in lines for ratio in line["ratios"].values()])
    height = _TOP + _ROW * len(lines) + _BOTTOM
    body = [*_head(), *_grid(axis, len(lines)), *_rows(lines, axis), *_foot(found, height)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            "<title>How many times better tsstore is than its peers</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="card" width="{_WIDTH}" height="{height}" rx="8"/>',
            *body,
            "</svg>\n",
        ]
    )


def _head() -> Iterator[str]:
    yield _text(20, 32, "How many times better tsstore is", "title")
    yield _text(
        20,
        52,
        "Less time or fewer bytes, or more rows a second; right of the line is better.",
        "small",
    )
    for number, (peer, colour) in enumerate(_COLOURS.items()):
        x = 26 + 100 * number
        yield f'<circle cx="{x}" cy="74" r="5" fill="{colour}"/>'
        yield _text(x + 11, 78, peer)


def _grid(axis: _Axis, rows: int) -> Iterator[str]:
    bottom = _TOP + _ROW * rows
    for y in range(_TOP, bottom, 2 * _ROW):
        yield f'<rect class="band" x="10" y="{y}" width="{_WIDTH - 20}" height="{_ROW}"/>'
    for ratio in axis.decades():
        kind = "one" if ratio == 1 else "grid"
        x = axis.x(ratio)
        yield f'<line class="{kind}" x1="{x}" x2="{x}" y1="{_TOP - 6}" y2="{bottom}"/>'
        yield _text(x, _TOP - 10, f"{ratio:,g}x", "small", "middle")


def _rows(lines: Sequence[Mapping[str, Any]], axis: _Axis) -> Iterator[str]:
    shown = ""
    for number, line in enumerate(lines):
        y = _TOP + _ROW * number
        if line["workload"] != shown:
            shown = line["workload"]
            yield _text(20, y + 14, shown)
        yield _text(50, y + 14, line["what"])
        yield from _dots(line, axis, y + _ROW / 2)


def _dots(line: Mapping[str, Any], axis: _Axis, y: float) -> Iterator[str]:
    for peer, ratio in line["ratios"].items():
        value = line["peers"][peer]["value"]
        label = f"{peer}: {rounded(value)} {line['unit']}, {ratio:.3g}x"
        yield (
            f'<circle class="dot" cx="{axis.x(ratio)}" cy="{y:g}" r="5" '
            f'fill="{_COLOURS[column_of(peer)]}"><title>{escape(label)}</title></circle>'
        )


def _foot(found: Mapping[str, Any], height: int) -> Iterator[str]:
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    most = max(load for loads in found["load"].values() for load in loads)
    yield _text(20, height - 34, versions, "small")
    text = (
        f"One run, in turns, on {machine['processors']} shared processors, load up to {most:.1f}; "
    )
    yield _text(20, height - 18, f"{text}Python {machine['python']}, {machine['system']}", "small")


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{style}>{escape(text)}</text>'
