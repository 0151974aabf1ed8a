# SPDX-License-Identifier: Apache-2.0
"""Model: what is served under one name, and what clients see of it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from gateway.caching import refuse_coupled
from gateway.errors import ConfigError
from gateway.parity import Parity
from gateway.sampler import fit, reader_of, slices_of
from gateway.stages.augment import ensemble_of
from gateway.stages.preview import Preview
from gateway.steps import client_info
from gateway.wire.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import ModelConfig
    from gateway.stages.batch import Batch
    from gateway.stages.payoff import Payoff
    from gateway.stages.questions import Questions
    from gateway.stages.repeat import CachedRepeat
    from gateway.upstream.pool import Pool
    from gateway.wire.generation import Generation, Rollout
    from gateway.wire.message import Service
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Buffer


class Rollouts:
    """How far candidates have come, *by_model*, and who they are among all *models*.

    Both mappings stay the same objects, and change with the generation. *key* gives what all
    processes choose by, once it is needed.
    """

    def __init__(self, models: Mapping[str, Model], key: Callable[[], bytes]) -> None:
        self.models = models
        self.by_model: dict[str, Rollout] = {}
        self._key = key

    def __repr__(self) -> str:
        return f"<Rollouts {self.by_model}>"

    @cached_property
    def selection(self) -> Selection:
        """The number that a share is compared with, by id; raises OSError without a directory."""
        return Selection(self._key(), "split")

    def take(self, generation: Generation) -> None:
        """What *generation* says holds from now on."""
        self.by_model.clear()
        self.by_model.update(generation.rollouts)


class Model:
    """A configured model: its pool, its stack, and what clients see of it.

    It does not change: another configuration makes another one, and a request that has begun with
    this one ends with it.
    """

    def __init__(self, name: str, config: ModelConfig, pool: Pool) -> None:
        self.name = name
        self.config = config
        self.pool = pool
        self.batch: Batch
        # What its cache is worth, where it has one.
        self.payoff: Payoff | None = None
        self.shortcut: Questions | None = None
        # The cache's, where no stage above it has to see every request.
        self.repeats: Callable[[bytes], CachedRepeat | None] | None = None
        # The header that requests are placed by, "" without one.
        self.placed_by = pool.header
        self.fault = ""
        self.service: Service
        # The same below what is sampled and split: what it answers in the place of another model.
        self.core: Service
        # The same below the cache.
        self.uncached: Service
        # What reads its answers, and what tells its requests apart, where it is sampled.
        self.reader = reader_of(config)
        self.slices = slices_of(config)
        self.labelled = config.quality is not None
        self.preview: Preview | None = None
        if config.debug.preprocess:
            self.preview = Preview(steps=config.preprocess, info=lambda: pool.info)
        self._preprocess = config.preprocess
        self._postprocess = config.postprocess
        self._rows = "auto" if config.cache is None else config.cache.rows
        # The views of its rows, where it has some.
        self.ensemble = ensemble_of(config.augment)
        golden = config.golden
        self._parity = (
            None
            if golden is None
            else Parity(
                golden.file,
                preprocess=config.preprocess,
                postprocess=config.postprocess,
                rtol=golden.rtol,
                atol=golden.atol,
                told=pool.tell,
            )
        )
        self._seen: ModelInfo | None = None
        self._info: ModelInfo | None = None

    def __repr__(self) -> str:
        return f"<Model {self.name} {'ready' if self.ready else 'not ready'} {self.pool!r}>"

    @property
    def info(self) -> ModelInfo | None:
        """The worker's model with the steps around it; None while no worker has said hello.

        A model that the steps do not fit stays None, and *fault* says why.
        """
        seen = self.pool.info
        if seen is not self._seen:
            self._seen = seen
            self.fault = ""
            try:
                if seen is not None and self._rows == "always":
                    refuse_coupled(seen)
                self._info = seen and client_info(seen, self._preprocess, self._postprocess)
                if self._info is not None and self.reader is not None:
                    fit(self.reader, self.config, self._info)
                if seen is not None and self.ensemble is not None:
                    self.ensemble.bind(seen)
                if seen is not None and self._parity is not None:
                    self._hold(self._parity.verdict(seen))
            except ConfigError as error:
                self._info, self.fault = None, str(error)
        return self._info

    @property
    def questions(self) -> Questions | None:
        """The raw-body shortcut; None where there is none, or where the cache does not pay now."""
        payoff = self.payoff
        return None if payoff is None or payoff.idle else self.shortcut

    def _hold(self, verdict: list[str] | None) -> None:
        """Serve nothing before the golden vectors have been looked at, or against them."""
        if verdict is None:
            # Not seen yet: it is looked at again until the verdict is there.
            self._seen = self._info = None
        elif verdict:
            raise ConfigError(verdict)

    def shadowed(self, *, cache: bool) -> Service:
        """See `gateway.sampling.target.Target`."""
        return self.core if cache else self.uncached

    def turn_away(self, body: Buffer) -> None:
        """See `Batch.turn_away`."""
        self.batch.turn_away(body)

    @property
    def ready(self) -> bool:
        """Whether a request would be answered."""
        return self.info is not None and self.pool.ready
