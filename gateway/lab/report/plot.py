# SPDX-License-Identifier: Apache-2.0
"""Plot: the parts that charts are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One chart: *data* and *layout* are plotly's, *height* is in pixels."""

    id: str
    title: str
    caption: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    height: int = 320


def axis(title: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - plotly's
    """An axis with its unit."""
    return {"title": {"text": plain(title), "standoff": 8}} | options


def line(
    x: Sequence[float],
    y: Sequence[float],
    *,
    colour: str,
    name: str,
    hover: str,
    dash: str = "solid",
) -> dict[str, Any]:
    """A line; *hover* is plotly's template."""
    return {
        "type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": plain(name),
        "line": {"color": colour, "width": 2, "dash": dash},
        "hovertemplate": f"{hover}<extra></extra>",
    }  # fmt: skip


def plain(text: str) -> str:
    """*text* as plotly shows it: it would take some of it for markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
