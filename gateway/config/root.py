# SPDX-License-Identifier: Apache-2.0
"""The configuration as a whole, and its models with their workers.

A section that configures one module is defined by that module.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway.config.server import ServerConfig
from gateway.stages.batch_options import BatchConfig
from gateway.stages.cache_options import ModelCacheConfig
from gateway.stages.hedge_options import HedgeConfig
from gateway.stages.retry_options import RetryConfig
from gateway.stores.options import CacheConfig
from gateway.units import Duration, Share, WorkerAddress
from gateway.upstream.options import (
    EjectionConfig,
    HealthConfig,
    SlowStartConfig,
    TimeoutsConfig,
)
from gateway.upstream.policy import POLICIES


class WorkerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Worker processes that Infergate starts itself, all with the same model."""

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description=(
                "A model directory (`PATH/VERSION/model.onnx`) or one `.onnx` file, relative to "
                "the directory in which the server is started."
            ),
        ),
    ]
    version: Annotated[
        int | None, Meta(ge=0, description="The version to serve; null: the newest, by number.")
    ] = None
    replicas: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description=(
                "Worker processes. Danger: each has the model in memory, and together with threads "
                "they should not outnumber the cores."
            ),
        ),
    ] = 1
    threads: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="Threads that compute one operator of an inference together.",
        ),
    ] = 1
    inter_threads: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="Threads that compute independent operators of one inference.",
        ),
    ] = 1
    instances: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description=(
                "Inferences that one worker runs at the same time, each with threads of its own."
            ),
        ),
    ] = 1
    optimization: Annotated[
        Literal["none", "basic", "extended", "all"],
        Meta(
            description=(
                "How far onnxruntime may rewrite the model. "
                "Danger: above basic, results may differ in their last bits."
            )
        ),
    ] = "all"
    providers: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Za-z]+ExecutionProvider$")], ...],
        Meta(
            min_length=1,
            description=(
                "Execution providers of onnxruntime, the preferred one first. "
                "Danger: one that the installed onnxruntime does not have ends the start."
            ),
        ),
    ] = ("CPUExecutionProvider",)
    arena: Annotated[
        bool,
        Meta(
            description=(
                "Whether onnxruntime keeps the memory of past inferences for the next ones. "
                "Danger: a worker's memory then stays at that of its largest batch."
            )
        ),
    ] = True
    spinning: Annotated[
        bool,
        Meta(
            description=(
                "Whether idle threads of onnxruntime wait busily. "
                "Danger: they take the cores from the gateway and from other workers."
            )
        ),
    ] = False
    busy_poll: Annotated[
        Duration,
        Meta(
            ge=0,
            le=0.01,
            description=(
                "As `server.busy_poll`, for the workers: how long each looks for more after a "
                "request. Danger: each then takes a core for that time."
            ),
        ),
    ] = 0.0
    warmup: Annotated[
        int,
        Meta(
            ge=0,
            le=10000,
            description=(
                "Inferences on made-up inputs before a worker is ready. "
                "Danger: with 0 the first requests are slow."
            ),
        ),
    ] = 3
    env: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str],
        Meta(description="Environment variables of the workers, beside those of the server."),
    ] = {}


class BackendConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One source of inferences: either `worker` or `address`."""

    worker: WorkerConfig | None = None
    address: Annotated[
        WorkerAddress | None,
        Meta(
            description=(
                "A worker that runs elsewhere (`infergate worker MODEL_DIR --listen …`): "
                "`unix:PATH` or `tcp:HOST:PORT`. Danger: the line is neither encrypted nor "
                "authenticated; keep it inside one trusted network."
            )
        ),
    ] = None
    weight: Annotated[
        float,
        Meta(
            gt=0,
            le=1e6,
            description="Share of the load that each worker of it gets, relative to the others.",
        ),
    ] = 1.0
    tier: Annotated[
        int,
        Meta(
            ge=0,
            le=15,
            description=(
                "0 is used first; a higher tier takes a growing part of the load as less than 72 % "
                "of the workers before it are available. Danger: what is full is waited for, only "
                "what fails is replaced."
            ),
        ),
    ] = 0
    max_concurrency: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1, le=4096)],
        Meta(
            description=(
                "Batches that one worker of it is sent at the same time; auto: one more than it "
                "runs at the same time, so that it never waits for the line."
            )
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        if (self.worker is None) == (self.address is None):
            raise ValueError("expected either worker or address")


# The tables of steps are looked up when a configuration first needs one: they import numpy.
def _preprocess() -> dict[str, type[Struct]]:
    from gateway.steps import PREPROCESS  # noqa: PLC0415 - see above

    return dict(PREPROCESS)


def _postprocess() -> dict[str, type[Struct]]:
    from gateway.steps import POSTPROCESS  # noqa: PLC0415 - see above

    return dict(POSTPROCESS)


def _policies() -> dict[str, type[Struct]]:
    return dict(POLICIES)


class ModelConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model by the name under which clients ask for it."""

    backends: Annotated[tuple[BackendConfig, ...], Meta(min_length=1, max_length=256)]
    policy: Annotated[
        Any,
        Meta(
            extra={"kinds": _policies},
            description=(
                "How a worker is chosen among those that are ready. least_outstanding: the fewest "
                "rows outstanding for its weight; least_connections is its older name. peak_ewma: "
                "the shortest expected time. power_of_two: the better of two at random. "
                "round_robin: each in its turn. consistent_hash: by a header or by the question. "
                "reported_load: least outstanding with what workers report of others."
            ),
        ),
    ] = POLICIES["least_outstanding"]()
    batch: BatchConfig = BatchConfig()
    retry: RetryConfig = RetryConfig()
    hedge: HedgeConfig | None = None
    timeouts: TimeoutsConfig = TimeoutsConfig()
    health: HealthConfig = HealthConfig()
    ejection: EjectionConfig = EjectionConfig()
    panic_threshold: Annotated[
        Share,
        Meta(
            description=(
                "While less than this share of the model's workers is available, ejected ones are "
                "sent requests too, so that failures do not bury the rest; 0 turns that off. "
                "Danger: near 1 ejection never protects anybody."
            )
        ),
    ] = 0.5
    slow_start: SlowStartConfig = SlowStartConfig()
    cache: ModelCacheConfig | None = None
    preprocess: Annotated[
        tuple[Any, ...],
        Meta(
            max_length=64,
            extra={"steps": _preprocess},
            description=(
                "Steps that make the model's inputs of what clients send, in this order. "
                "Danger: other steps than in training make a model quietly wrong."
            ),
        ),
    ] = ()
    postprocess: Annotated[
        tuple[Any, ...],
        Meta(
            max_length=64,
            extra={"steps": _postprocess},
            description="Steps that make the answer of the model's outputs, in this order.",
        ),
    ] = ()


# A model's name is a part of paths, of socket names and of metric labels.
ModelName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=64,
        extra={"expected": "letters, digits, '.', '_' and '-', a letter or digit first"},
    ),
]


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole configuration, checked."""

    server: ServerConfig = ServerConfig()
    cache: CacheConfig = CacheConfig()
    models: Annotated[dict[ModelName, ModelConfig], Meta(min_length=1, max_length=1024)]
