# SPDX-License-Identifier: Apache-2.0
"""The section ``probes`` of a model: which set is asked, how often, and on which paths."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from gateway.units import Duration, Share

Path = Literal["cached", "uncached", "direct"]
PATHS: Final[tuple[Path, ...]] = get_args(Path)


class ProbeConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A set whose answers must stay what they were; see docs/how-to/probe-endpoints.md."""

    file: Annotated[
        str,
        Meta(
            min_length=1,
            description=(
                "An .npz file: an array for each input, and what is true in `labels`, as "
                "`infergate evaluate` takes it. Without `labels` only changes are seen."
            ),
        ),
    ]
    every: Annotated[
        Duration, Meta(ge=1, description="The time from the end of a round to the next.")
    ] = 300.0
    rows: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="How many rows of the file are asked, the first ones. Danger: a fault "
            "that shows in none of them is not seen.",
        ),
    ] = 200
    paths: Annotated[
        tuple[Path, ...],
        Meta(
            min_length=1,
            max_length=3,
            description=(
                "How they are asked. direct: each endpoint by itself; uncached: through the data "
                "port, past the cache; cached: the same through the cache, where the model has one."
            ),
        ),
    ] = PATHS
    share: Annotated[
        Share,
        Meta(
            gt=0,
            description=(
                "The share of time in which there is one request of a probe under way. "
                "Danger: at 100% probes take a whole slot from clients."
            ),
        ),
    ] = 0.05
    eject: Annotated[
        bool,
        Meta(
            description=(
                "Eject an endpoint that gives other answers than it must: never the last one, and "
                "no more than ejection.max_ejected of all."
            )
        ),
    ] = True
    rise: Annotated[
        int,
        Meta(ge=1, le=100, description="Good rounds in a row that bring an endpoint back."),
    ] = 2

    def __post_init__(self) -> None:
        if len(set(self.paths)) != len(self.paths):
            raise ValueError("paths names one twice; expected each once")
