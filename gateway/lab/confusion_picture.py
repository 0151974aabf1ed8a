# SPDX-License-Identifier: Apache-2.0
"""Confusion picture: a confusion matrix as one SVG file, for reports and browsers.

Rows are true classes, columns what was predicted. The depth of a cell is its share of its row, so
that a rare class is as easy to see as a frequent one; right and wrong have colours of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.lab.quality import Quality

# Pixels of a cell: large enough for a count of five digits, as long as the whole fits on a page.
_CELL: Final = 52
_LEAST: Final = 8
_PAGE: Final = 900
# Below this a cell has no room for its count.
_NUMBER_ROOM: Final = 26
# Pixels a letter, about, of the labels beside rows.
_LETTER: Final = 8
_LONGEST: Final = 24
_STYLE: Final = """
svg{font:13px system-ui,sans-serif;background:#fff}
text{fill:#1c1c1c}.muted{fill:#666}.head{font-size:17px;font-weight:600}
.right{fill:#1f6f4a}.wrong{fill:#b3261e}.frame{fill:none;stroke:#bbb}
.light{fill:#fff}.dim{fill:#999}
@media (prefers-color-scheme:dark){svg{background:#161616}text{fill:#eee}.muted{fill:#aaa}
.frame{stroke:#555}.right{fill:#4caf82}.wrong{fill:#ef6f66}.dim{fill:#777}.light{fill:#111}}
"""


def svg(quality: Quality) -> str:
    """The matrix of *quality*; raises ValueError where it has none."""
    if not quality.confusion:
        raise ValueError(f"a {quality.task} has no confusion matrix")
    names = [str(one.label) for one in quality.classes]
    size = max(_LEAST, min(_CELL, _PAGE // len(names)))
    shown = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in names]
    left = 44 + _LETTER * max(len(name) for name in shown)
    top = 96 + (_LETTER * max(len(name) for name in shown) if _slanted(shown, size) else 16)
    width, height = left + size * len(names) + 76, top + size * len(names) + 20
    # The title needs its room beside a matrix of two classes.
    width, side = max(width, 420), size * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(_title(quality))}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="head" x="16" y="28">{escape(_title(quality))}</text>',
        f'<text class="muted" x="16" y="48">{escape(_caption(quality))}</text>',
        f'<text class="muted" x="{left}" y="72">predicted</text>',
        f'<text class="muted" x="16" y="{top - 8}">true</text>',
        *_heads(shown, left, top, size),
        *_cells(quality, names, left, top, size),
        f'<rect class="frame" x="{left}" y="{top}" width="{side}" height="{side}"/>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _title(quality: Quality) -> str:
    return f"Confusion matrix of {quality.model}"


def _caption(quality: Quality) -> str:
    words = f"{quality.rows} rows of {quality.data}"
    if quality.accuracy is not None:
        words += f", accuracy {quality.accuracy.value:.4f}"
    return words


def _slanted(names: list[str], size: int) -> bool:
    """Whether names are too long to stand above their columns."""
    return max(len(name) for name in names) * _LETTER > size


def _heads(names: list[str], left: int, top: int, size: int) -> Iterator[str]:
    slanted = _slanted(names, size)
    every = max(1, -(-14 // size))
    for place, name in enumerate(names):
        if place % every:
            continue
        middle = left + size * place + size / 2
        turn = f' transform="rotate(-90 {middle + 4:g} {top - 8})"' if slanted else ""
        anchor = "start" if slanted else "middle"
        across = middle + 4 if slanted else middle
        where = f'x="{across:g}" y="{top - 8}" text-anchor="{anchor}"{turn}'
        yield f"<text {where}>{escape(name)}</text>"
        down = top + size * place + size / 2 + 4
        yield f'<text x="{left - 8}" y="{down:g}" text-anchor="end">{escape(name)}</text>'


def _cells(quality: Quality, names: list[str], left: int, top: int, size: int) -> Iterator[str]:
    for row, counts in enumerate(quality.confusion):
        total = sum(counts)
        for column, count in enumerate(counts):
            x, y = left + size * column, top + size * row
            share = count / total if total else 0.0
            if count:
                kind = "right" if row == column else "wrong"
                # The least share is seen too: an error of one in a thousand is what one looks for.
                depth = 0.12 + 0.88 * share
                yield (
                    f'<rect class="{kind}" x="{x}" y="{y}" width="{size}" height="{size}" '
                    f'fill-opacity="{depth:.3f}"><title>{escape(names[row])} as '
                    f"{escape(names[column])}: {count} of {total} ({share:.1%})</title></rect>"
                )
            if size >= _NUMBER_ROOM:
                style = ' class="dim"' if not count else ' class="light"' if share > 0.55 else ""
                yield (
                    f'<text{style} x="{x + size / 2:g}" y="{y + size / 2 + 4:g}" '
                    f'text-anchor="middle">{count or "·"}</text>'
                )
        if total and size >= 14:
            recall = counts[row] / total
            across, down = left + size * len(names) + 8, top + size * row + size / 2 + 4
            yield f'<text class="muted" x="{across}" y="{down:g}">{recall:.1%}</text>'
