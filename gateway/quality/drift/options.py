# SPDX-License-Identifier: Apache-2.0
"""The section ``drift`` of a model: beside which reference its requests are looked at."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.units import Share


class DriftConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Inputs and answers are looked at, hits of the cache included; see how-to/watch-for-drift."""

    reference: Annotated[
        str | None,
        Meta(
            min_length=1,
            description=(
                "A file that `infergate quality fit` has made of data that the model is good at. "
                "null: the first rows that come."
            ),
        ),
    ] = None
    learn_rows: Annotated[
        int,
        Meta(
            ge=200,
            le=1_000_000,
            description=(
                "How many rows that come are the reference, where there is no file. "
                "Danger: what was wrong with them is taken for right."
            ),
        ),
    ] = 10_000
    features: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...] | None,
        Meta(
            max_length=64,
            description=(
                "Which features are looked at, as `GET /v1/drift/NAME` names them. null: the first "
                "64 of inputs and outputs."
            ),
        ),
    ] = None
    floor: Annotated[
        float,
        Meta(
            gt=0,
            le=10,
            description=(
                "The population stability index below which a difference does not matter, however "
                "certain it is."
            ),
        ),
    ] = 0.1
    alpha: Annotated[
        Share,
        Meta(
            gt=0,
            lt=1,
            description=(
                "The share of alarms that may be false, over all features of a look together."
            ),
        ),
    ] = 0.05
    rows_per_second: Annotated[
        int,
        Meta(
            ge=10,
            le=100_000,
            description=(
                "How many rows a second each gateway process looks at; where more come they are "
                "drawn evenly. Danger: 1,000 cost about one part in a hundred of a core."
            ),
        ),
    ] = 500
