# SPDX-License-Identifier: Apache-2.0
"""The sections ``timeouts``, ``health``, ``ejection``, ``slow_start`` and ``remote``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.tls import TlsConfig
from gateway.units import Duration, Share, Size


class TimeoutsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Times for what goes on between the gateway and a worker."""

    connect: Annotated[
        Duration,
        Meta(gt=0, description="How long connecting to a worker may take."),
    ] = 1.0
    attempt: Annotated[
        Duration,
        Meta(
            ge=0,
            description=(
                "How long one attempt may take before another worker is tried; 0s: as long as the "
                "request has. Danger: below the model's slowest run it fails what would have been "
                "answered, and counts against the worker."
            ),
        ),
    ] = 0.0


class HealthConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Probes: each runs an inference on the worker, so that a stuck one is noticed."""

    interval: Annotated[
        Duration,
        Meta(ge=0.01, description="Time between two probes of a worker."),
    ] = 2.0
    timeout: Annotated[
        Duration,
        Meta(
            ge=0.001,
            description=(
                "How long a probe may take. "
                "Danger: below the model's slowest run it takes busy workers for dead."
            ),
        ),
    ] = 1.0
    rise: Annotated[
        int, Meta(ge=1, le=100, description="Good probes in a row that bring a worker back.")
    ] = 2
    fall: Annotated[
        int, Meta(ge=1, le=100, description="Bad probes in a row that take a worker out.")
    ] = 3
    jitter: Annotated[
        Share,
        Meta(description="The share of the interval by which each is shifted at random."),
    ] = 0.2


class EjectionConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A worker that fails requests gets none for a while, whatever its probes say."""

    consecutive: Annotated[
        int, Meta(ge=1, description="Failures in a row that eject a worker.")
    ] = 5
    error_rate: Annotated[
        Share, Meta(gt=0, description="The share of failures in the window that ejects a worker.")
    ] = 0.5
    min_volume: Annotated[
        int, Meta(ge=1, description="Answers in the window before the error rate counts.")
    ] = 10
    window: Annotated[
        Duration, Meta(ge=0.1, description="How long a failure counts towards the error rate.")
    ] = 10.0
    base: Annotated[
        Duration,
        Meta(
            ge=0.01,
            description="Time of a first ejection; it doubles with each one that follows at once.",
        ),
    ] = 1.0
    max: Annotated[Duration, Meta(ge=0.01, description="The longest time of an ejection.")] = 60.0
    jitter: Annotated[
        Share, Meta(description="The share by which each ejection is lengthened or shortened.")
    ] = 0.5
    max_ejected: Annotated[
        Share,
        Meta(
            description=(
                "The share of a model's workers that may be ejected at the same time. "
                "The last one that is up never is. Danger: near 1 a bad pattern of requests can "
                "take out all but one."
            )
        ),
    ] = 0.5

    def __post_init__(self) -> None:
        if self.max < self.base:
            raise ValueError("max is below base; it bounds what base grows to")


class SlowStartConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A worker that came back is sent less at first, while others are warm."""

    window: Annotated[
        Duration,
        Meta(
            ge=0,
            description=(
                "How long it takes until a worker that came up, or back from an ejection, is sent "
                "as much at the same time as it can bear; 0s turns slow start off. "
                "Danger: longer than the time between two restarts, the model never has all of its "
                "workers."
            ),
        ),
    ] = 15.0
    floor: Annotated[
        Share, Meta(description="The share that it begins with; never less than one batch.")
    ] = 0.1


# What the gateway itself says of a body; a second word on it is how requests are smuggled.
RESERVED_HEADERS = frozenset({
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type",
    "expect", "inference-header-content-length", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade", "x-request-timeout-ms",
})  # fmt: skip


class RemoteConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the server at `url` is asked."""

    model: Annotated[
        str | None,
        Meta(
            min_length=1,
            max_length=256,
            description="The name that the model has there; null: the same as here.",
        ),
    ] = None
    version: Annotated[
        str | None,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            max_length=64,
            description=(
                "The version that is asked for; null: the server's choice. "
                "Danger: servers without versions (KServe's) refuse requests that name one."
            ),
        ),
    ] = None
    headers: Annotated[
        dict[
            Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=128)],
            Annotated[
                str, Meta(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$", max_length=8000)
            ],
        ],
        Meta(
            max_length=32,
            description=(
                "Headers of every request to it, such as `Authorization: Bearer ${TOKEN}`; their "
                "values are shown nowhere. Danger: over http anybody on the line can read them."
            ),
        ),
    ] = {}
    tls: TlsConfig = TlsConfig()
    max_answer: Annotated[
        Size,
        Meta(
            ge=1024,
            description=(
                "The largest body that is read from it. "
                "Danger: the gateway holds this much for each of its requests."
            ),
        ),
    ] = 64 << 20
    idle_timeout: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long a connection to it is kept between requests. Danger: keep it below the "
                "server's own (5s on uvicorn), or requests meet closed connections."
            ),
        ),
    ] = 4.0

    def __post_init__(self) -> None:
        for name in self.headers:
            if name.lower() in RESERVED_HEADERS:
                raise ValueError(f"headers: {name} is set by the gateway itself; remove it")
