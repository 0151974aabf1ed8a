# SPDX-License-Identifier: Apache-2.0
"""Query: which rows a reader wants figures of, and how; read from the parameters of a URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar, get_args

from gateway.quality.figures.group import MOST_LAST
from gateway.statistics.intervals import Method
from gateway.units import parse_duration
from gateway.wire.samples import ROLES, Role

WINDOWS: Final = ("1h", "24h", "30d")
SINCE_PROMOTION: Final = "since_promotion"
AVERAGES: Final = ("binary", "macro", "micro", "weighted", "samples")
LONGEST: Final = 35 * 86400.0
# What callers were given: answers of the model, and of a candidate in its place.
SERVED: Final = "served"
Asked = Role | Literal["served"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
_ZERO_DIVISION: Final = {"0": 0.0, "1": 1.0, "nan": float("nan")}
_YES: Final = {"1": True, "true": True, "0": False, "false": False}

T = TypeVar("T", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Rows of a *role* in a *window*; ``served`` are all that callers were given.

    *endpoint*, *digest*, *name* or *tags* narrow them where they are said.

    *window* is a time back from now such as 24h, ``n:5000`` or ``since_promotion``. *average* is
    that of the plain figures precision, recall and f1; empty for the one that suits the task.
    *settled*: leave out predictions that are younger than most labels take.
    """

    window: str = "24h"
    role: Asked = "served"
    name: str | None = None
    digest: str | None = None
    endpoint: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    average: str = ""
    ci: Method = "wilson"
    level: float | None = None
    beta: float = 1.0
    zero_division: float = 0.0
    settled: bool = False

    @property
    def seconds(self) -> float | None:
        """How far back, None for the other kinds of window."""
        if self.last is not None or self.window == SINCE_PROMOTION:
            return None
        return parse_duration(self.window)

    @property
    def last(self) -> int | None:
        """How many of the last rows, None for the other kinds of window."""
        return int(self.window[2:]) if self.window.startswith("n:") else None


PARAMETERS: Final = (
    "window", "role", "name", "digest", "endpoint", "slice", "average", "ci", "level", "beta",
    "zero_division", "settled",
)  # fmt: skip


def parse_query(parameters: Mapping[str, str]) -> Query:
    """The query that *parameters* state; raises ValueError that names the wrong one."""
    for key in parameters:
        if key not in PARAMETERS:
            raise ValueError(f"parameter '{key}' is unknown; there are {', '.join(PARAMETERS)}")
    given = parameters.get
    zero_division = _one_of("zero_division", given("zero_division", "0"), tuple(_ZERO_DIVISION))
    return Query(
        window=_window(given("window", "24h")),
        role=_one_of("role", given("role", SERVED), (SERVED, *ROLES)),
        name=given("name"),
        digest=given("digest"),
        endpoint=given("endpoint"),
        tags=_tags(given("slice", "")),
        average=_one_of("average", given("average", ""), ("", *AVERAGES)),
        ci=_one_of("ci", given("ci", "wilson"), METHODS),
        level=_level(given("level")),
        beta=_beta(given("beta", "1")),
        zero_division=_ZERO_DIVISION[zero_division],
        settled=_YES[_one_of("settled", given("settled", "false"), tuple(_YES))],
    )


def _one_of(key: str, value: str, allowed: tuple[T, ...]) -> T:
    for each in allowed:
        if value == each:
            return each
    there = ", ".join(each for each in allowed if each)
    raise ValueError(f"{key} '{value}': expected one of {there}")


def _window(text: str) -> str:
    if text == SINCE_PROMOTION:
        return text
    if text.startswith("n:"):
        count = text[2:]
        if not count.isascii() or not count.isdecimal() or not 1 <= int(count[:9]) <= MOST_LAST:
            raise ValueError(f"window '{text}': expected n:1 to n:{MOST_LAST}")
        return text
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if not 60 <= seconds <= LONGEST:
        raise ValueError(
            f"window '{text}': expected a time from 1m to 35d such as 1h, 24h or 30d, "
            "n:5000 for the last rows, or since_promotion"
        )
    return text


def _tags(text: str) -> dict[str, str]:
    """Tags of ``region:eu,kind:new``."""
    tags: dict[str, str] = {}
    for part in text.split(",") if text else ():
        tag, colon, value = part.partition(":")
        if not colon or not tag or not value:
            raise ValueError(f"slice '{text}': expected tag:value, such as region:eu")
        if tag in tags:
            raise ValueError(f"slice '{text}': tag '{tag}' is there twice")
        tags[tag] = value
    return tags


def _level(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        level = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        level = 0.0
    if not 0.5 < level < 1:
        raise ValueError(f"level '{text}': expected more than 0.5 and less than 1, such as 0.95")
    return level


def _beta(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1000:
        raise ValueError(f"beta '{text}': expected a number from 0 to 1000, such as 2")
    return value
