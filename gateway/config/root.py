# SPDX-License-Identifier: Apache-2.0
"""The configuration as a whole, and its models.

A section that configures one module is defined by that module.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from gateway.config.backend import BackendConfig
from gateway.config.server import ServerConfig
from gateway.quality.drift.options import DriftConfig
from gateway.quality.ledger_options import LedgerConfig
from gateway.quality.probes.options import ProbeConfig
from gateway.quality.webhook_options import WebhookConfig
from gateway.stages.augment_options import AugmentConfig
from gateway.stages.batch_options import BatchConfig
from gateway.stages.cache_options import ModelCacheConfig
from gateway.stages.candidate_options import CandidateConfig
from gateway.stages.debug_options import DebugConfig, GoldenConfig
from gateway.stages.hedge_options import HedgeConfig
from gateway.stages.quality_options import QualityConfig
from gateway.stages.retry_options import RetryConfig
from gateway.stages.sampling_options import SamplingConfig
from gateway.stages.shadow_options import ShadowConfig
from gateway.stores.options import CacheConfig
from gateway.units import Share
from gateway.upstream.options import (
    EjectionConfig,
    HealthConfig,
    SlowStartConfig,
    TimeoutsConfig,
)
from gateway.upstream.policy import POLICIES


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
    augment: AugmentConfig | None = None
    quality: QualityConfig | None = None
    candidate: CandidateConfig | None = None
    probes: Annotated[
        tuple[ProbeConfig, ...],
        Meta(
            max_length=8,
            description="Sets that are asked again and again, and whose answers must not change.",
        ),
    ] = ()
    shadow: Annotated[
        ShadowConfig | tuple[ShadowConfig, ...] | None,
        Meta(
            max_length=16,
            description="One model that is asked what this one is asked, or a list of them.",
        ),
    ] = None
    drift: DriftConfig | None = None
    golden: GoldenConfig | None = None
    debug: DebugConfig = DebugConfig()

    @property
    def shadows(self) -> tuple[ShadowConfig, ...]:
        """The section ``shadow`` as a list, however many there are."""
        if self.shadow is None:
            return ()
        return (self.shadow,) if isinstance(self.shadow, ShadowConfig) else self.shadow


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
    ledger: LedgerConfig = LedgerConfig()
    webhooks: Annotated[
        tuple[WebhookConfig, ...],
        Meta(max_length=16, description="Who is told of decisions and alarms."),
    ] = ()
    sampling: SamplingConfig = SamplingConfig()
    models: Annotated[dict[ModelName, ModelConfig], Meta(min_length=1, max_length=1024)]
