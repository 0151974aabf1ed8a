# SPDX-License-Identifier: Apache-2.0
"""The section ``candidate`` of a model: what may take its place, and what it must prove before."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.units import Duration, Share


class LatencyConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Judged on live requests that a hash gives to one or the other, never on shadows."""

    p99_ratio: Annotated[
        float,
        Meta(
            ge=1,
            description=(
                "How many times as long as those of the live model the slowest hundredth of the "
                "candidate's answers may take."
            ),
        ),
    ] = 1.2


class CandidateConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another model of this file that may come to answer in the place of this one."""

    model: Annotated[
        str,
        Meta(
            min_length=1,
            description=(
                "The model: it takes and gives tensors of the same names and types, and is among "
                "the shadows of this one, which give the pairs of answers that decide."
            ),
        ),
    ]
    margin: Annotated[
        Share,
        Meta(
            gt=0,
            lt=1,
            description=(
                "By how much of all rows it may be right less often. It is promoted where it is "
                "proven to lose less, and rolled back where it is proven to lose more."
            ),
        ),
    ] = 0.01
    alpha: Annotated[
        Share,
        Meta(
            gt=0,
            lt=1,
            description=(
                "How likely a proof may be wrong, however often and for however long it is looked "
                "at."
            ),
        ),
    ] = 0.05
    labels_at_random: Annotated[
        bool,
        Meta(
            description=(
                "Which rows get a label has nothing to do with what the models say: then few "
                "labels prove much. Danger: untrue where only rows on which the two differ are "
                "labelled, as the label requests ask for."
            )
        ),
    ] = False
    min_rows: Annotated[
        int,
        Meta(ge=1, description="Before this many pairs of answers nothing is decided."),
    ] = 300
    auto: Annotated[
        bool,
        Meta(
            description=(
                "Go through the stages, and back, without a person. Otherwise the decision is "
                "shown, and everything waits for `infergate candidates`."
            )
        ),
    ] = False
    stages: Annotated[
        tuple[Literal["shadow"] | Share, ...],
        Meta(
            min_length=2,
            max_length=16,
            description=(
                "The shares of live requests that it answers, one after the other: shadow is none, "
                "100% is all, which is its promotion."
            ),
        ),
    ] = ("shadow", 0.01, 0.1, 0.5, 1.0)
    hold: Annotated[
        Duration,
        Meta(description="How long it stays in a stage at least."),
    ] = 600.0
    horizon: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long after it has begun the decision is called inconclusive: it stays where "
                "it is, and a person is told."
            ),
        ),
    ] = 604_800.0
    min_requests: Annotated[
        int,
        Meta(
            ge=1,
            description=(
                "How many live requests it must have answered in a stage before its latency and "
                "errors there let it go on."
            ),
        ),
    ] = 200
    latency: LatencyConfig | None = LatencyConfig()
    errors: Annotated[
        Share,
        Meta(
            description=(
                "By how much of live requests it may fail more often than the live model. Where "
                "more is certain it is rolled back."
            )
        ),
    ] = 0.001

    @property
    def shares(self) -> tuple[float, ...]:
        """The stages as shares of live requests."""
        return tuple(0.0 if each == "shadow" else float(each) for each in self.stages)
