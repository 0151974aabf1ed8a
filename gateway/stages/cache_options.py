# SPDX-License-Identifier: Apache-2.0
"""The section ``cache`` of a model: whether and for how long its answers are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.units import Duration, Share, Size


class ModelCacheConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model without this section is not cached."""

    ttl: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long an answer is kept. A changed model file never answers from old entries, "
                "however long they live. Danger: a model that is not a pure function of its inputs "
                "answers from the past for so long."
            ),
        ),
    ] = 3600.0
    jitter: Annotated[
        Share,
        Meta(
            description=(
                "The share of the ttl by which each entry's own is shortened at random, so that "
                "what was stored together does not end together."
            )
        ),
    ] = 0.1
    lock_timeout: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long a request waits for another one with the same question to be answered "
                "before it asks the model itself."
            ),
        ),
    ] = 5.0
    max_entry_bytes: Annotated[
        Size,
        Meta(
            ge=1,
            description="Answers above this size are not stored: one of them would evict many.",
        ),
    ] = 4 << 20
    scope: Annotated[
        Literal["tenant", "shared"],
        Meta(
            description=(
                "Who shares answers: those of one tenant (`server.tenant_header`), or all. "
                "Danger: shared lets a caller find out, by the time an answer takes, what others "
                "have asked."
            )
        ),
    ] = "tenant"
    rows: Annotated[
        Literal["auto", "always", "never"],
        Meta(
            description=(
                "Whether each row of a batch is looked up by itself, and only the rows that are "
                "missing go to the model. auto: where the worker has found, as it loaded the "
                "model, that a row's answer does not depend on the others; always: for servers "
                "elsewhere, of which nobody knows."
            )
        ),
    ] = "auto"
    stale_while_revalidate: Annotated[
        Duration,
        Meta(
            description=(
                "How long behind its ttl an answer is still given, marked as stale, while a new "
                "one is made in the background."
            )
        ),
    ] = 10.0
    stale_if_error: Annotated[
        Duration,
        Meta(
            description=(
                "How long behind its ttl an answer is still given, marked as stale, when the "
                "model cannot be asked."
            )
        ),
    ] = 300.0
    verify: Annotated[
        Share,
        Meta(
            description=(
                "The share of hits that the model is asked again in the background; an answer "
                "that differs is counted, logged and dropped."
            )
        ),
    ] = 0.001
    adaptive: Annotated[
        bool,
        Meta(
            description=(
                "Pass the cache by while looking up costs more than it saves; one question in a "
                "hundred is looked up all the same, to see when that changes."
            )
        ),
    ] = True
    client_control: Annotated[
        Literal["all", "none"] | tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description=(
                "Whose `Cache-Control` is obeyed: everybody's, nobody's, or that of the tenants "
                "listed. Danger: whoever may send no-store can defeat the cache."
            )
        ),
    ] = "all"
