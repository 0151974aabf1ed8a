# SPDX-License-Identifier: Apache-2.0
"""Sampler: what the sampling of all models has in common, and what a model is to its own."""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import msgspec

from gateway.errors import ConfigError
from gateway.sampling.handover import Handover
from gateway.sampling.meaning import Meaning
from gateway.sampling.mirror import Mirror
from gateway.sampling.outlet import Outlet
from gateway.sampling.reading import Reader
from gateway.sampling.recorder import Recorder
from gateway.sampling.rules import Rule, Rules
from gateway.sampling.slices import Slices, Tag
from gateway.sampling.target import Limits
from gateway.stages.sample import Sample
from gateway.wire.runtime import samples_socket, sampling_key_file
from gateway.wire.selection import Selection, derived_key, read_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.config import Config, ModelConfig
    from gateway.sampling.target import Target
    from gateway.stages.gate import Gate
    from gateway.stages.quality_options import QualityConfig
    from gateway.stages.shadow_options import ShadowConfig
    from gateway.telemetry import Telemetry
    from gateway.wire.message import Service
    from gateway.wire.model import ModelInfo


class Sampler:
    """Makes the Sample stages of all models, whose notes *handover* takes.

    *key* gives that of `Selection`, once it is needed. *find* gives a model by its name as it is
    served now. *strained* says whether the process is short of something.
    """

    def __init__(
        self,
        handover: Handover,
        *,
        key: Callable[[], bytes],
        find: Callable[[str], Target | None],
        strained: Callable[[], bool],
        telemetry: Telemetry,
    ) -> None:
        self.handover = handover
        self._read_key = key
        self._find = find
        self._strained = strained
        self._telemetry = telemetry

    def __repr__(self) -> str:
        return f"<Sampler {self.handover!r}>"

    @cached_property
    def _key(self) -> bytes:
        return self._read_key()

    def stage(
        self, inner: Service, *, name: str, config: ModelConfig, reader: Reader | None,
        slices: Slices,
    ) -> Sample:  # fmt: skip
        """The Sample stage of the model *name* above *inner*; raises OSError without a key."""
        quality = config.quality
        recorder = Recorder(name, reader=reader, slices=slices, telemetry=self._telemetry)
        mirrors = tuple(self._mirror(each, recorder, quality) for each in config.shadows)
        self.handover.add(recorder, mirrors)
        stage = Sample(
            inner,
            recorder=recorder,
            share=0.0 if quality is None else quality.sample,
            selection=Selection(self._key),
            mirrors=mirrors,
            secret=self._key if quality is not None and quality.questions else b"",
        )
        # The stage ends with the last request of its stack.
        weakref.finalize(stage, self.handover.retire, recorder).atexit = False
        return stage

    def _mirror(
        self, config: ShadowConfig, recorder: Recorder, quality: QualityConfig | None
    ) -> Mirror:
        rules = [
            Rule(each.sample, each.confidence_below, each.disagreement, each.slice)
            for each in config.when
        ]
        classes = 0 if quality is None else len(quality.names)
        return Mirror(
            config.model,
            recorder,
            rules=Rules(config.sample, rules, classes=classes),
            find=self._find,
            reader_for=None if quality is None else _reader_like(meaning_of(quality)),
            telemetry=self._telemetry,
            limits=Limits(
                timeout=config.timeout,
                concurrency=config.concurrency,
                queue_rows=config.queue_rows,
                queue_bytes=config.queue_bytes,
            ),
            cache=config.cache,
            strained=self._strained,
        )


def make_sampler(
    config: Config, models: Mapping[str, Target], runtime: Path, gate: Gate, telemetry: Telemetry
) -> Sampler:
    """The sampler of one gateway process that serves *models*, which may change.

    *runtime* is the directory where the control process listens for samples.
    """
    return Sampler(
        Handover(Outlet(samples_socket(runtime)), telemetry=telemetry),
        key=partial(sampling_key, config, runtime),
        find=models.get,
        strained=lambda: gate.overload is not None or gate.parting,
        telemetry=telemetry,
    )


def sampling_key(config: Config, runtime: Path) -> bytes:
    """What all processes choose ids by; raises OSError where that cannot be kept."""
    secret = config.sampling.secret
    return read_key(sampling_key_file(runtime)) if secret is None else derived_key(secret)


def meaning_of(quality: QualityConfig) -> Meaning:
    """What *quality* says that answers mean."""
    names = quality.names
    positive = 1 if quality.positive is None else names.index(str(quality.positive))
    return Meaning(
        task=quality.task,
        names=names,
        positive=positive,
        output=quality.output,
        scores=quality.scores,
        scale=quality.scale,
        threshold=quality.threshold,
    )


def reader_of(config: ModelConfig) -> Reader | None:
    """What reads the answers of a model; None where nobody has said what they mean."""
    return None if config.quality is None else Reader(meaning_of(config.quality))


def slices_of(config: ModelConfig) -> Slices | None:
    """What tells the requests of a model apart; None for one without a Sample stage."""
    if config.quality is None:
        return Slices() if config.shadows else None
    return Slices([
        Tag(
            each.name,
            header=(each.header or "").lower(),
            parameter=each.parameter or "",
            values=frozenset(each.values),
            most=each.most,
        )
        for each in config.quality.slices
    ])  # fmt: skip


def fit(reader: Reader, config: ModelConfig, info: ModelInfo) -> None:
    """Find in the outputs of *info* what *reader* is to read; raises ConfigError."""
    try:
        reader.fit(info)
    except ValueError as error:
        raise ConfigError([f"model '{info.name}': quality: {error}"]) from None
    sure = any(rule.confidence_below is not None for each in config.shadows for rule in each.when)
    if sure and not reader.scored:
        fault = (
            f"model '{info.name}': shadow.when.confidence_below needs scores, and no output has "
            "them; expected a row of probabilities or logits"
        )
        raise ConfigError([fault])


def _reader_like(meaning: Meaning) -> Callable[[ModelInfo], Reader]:
    """Makes readers of other models whose answers mean the same, whatever their outputs' names."""

    def reader_for(info: ModelInfo) -> Reader:
        names = {each.name for each in info.outputs}
        output = meaning.output if meaning.output in names else None
        scores = meaning.scores if meaning.scores in names else None
        reader = Reader(replace(meaning, output=output, scores=scores))
        reader.fit(info)
        return reader

    return reader_for


def mirrored(section: ModelConfig, shares: Mapping[str, float]) -> ModelConfig:
    """*section* with the *shares* that operators have said of its shadows."""
    if not any(each.model in shares for each in section.shadows):
        return section
    shadows = tuple(
        msgspec.structs.replace(each, sample=shares.get(each.model, each.sample))
        for each in section.shadows
    )
    return msgspec.structs.replace(section, shadow=shadows)
