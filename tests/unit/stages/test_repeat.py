# SPDX-License-Identifier: Apache-2.0
"""CachedRepeat: while it may be given again, what ends that, and what is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.stages.questions import Questions
from gateway.stores.memory import MemoryStore
from gateway.telemetry.cells import SumCell
from gateway.wire.message import InferRequest
from tests.support.caching import Kit, now
from tests.support.service import PromptService
from tests.support.upstream import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Repeat


class Served:
    """A model as the bridge sees it."""

    placed_by = ""
    repeats = None
    slices = None
    labelled = False

    def __init__(self) -> None:
        self.info: Any = object()
        memory: MemoryStore[InferRequest] = MemoryStore(max_bytes=1 << 20)
        self.questions: Questions | None = Questions(memory, secret=b"s" * 32)
        self.service: Any = None
        self.turn_away: Any = None


class Scene:
    """A hit on ``m`` that was offered to be given again."""

    def __init__(self, **options: Any) -> None:
        self.kit = Kit(PromptService(), **options)
        self.asked = request(1)
        now(self.kit.cache, self.asked)
        self.served = Served()
        self.models = {"m": self.served}
        assert self.asked.key is not None
        repeat = self.kit.cache.repeat(self.asked.key)
        assert repeat is not None
        assert self.served.questions is not None
        repeat.holds_for(self.models, "m", self.served.info, self.served.questions, b"body")
        self.repeat: Repeat = repeat
        self.requests = repeat.requests = SumCell()
        self.seconds: list[float] = []
        repeat.seconds = self.seconds.append

    def found(self) -> bool:
        """Whether it may be given now."""
        return self.repeat.find(self.kit.clock())


def test_it_is_given_while_nothing_changes() -> None:
    """With its age, and for how long it is fresh still."""
    scene = Scene()
    scene.kit.clock.now += 12.5
    assert scene.found()
    assert (scene.repeat.age, scene.repeat.left) == (12.5, 47.5)
    assert scene.repeat.body == b"body"


def test_a_repeat_counts_as_a_hit() -> None:
    """What the cache does for any other hit is done for it."""
    scene = Scene()
    before = scene.kit.counted("hit")
    looked_up = scene.kit.telemetry.cache_seconds.cell("memory").counts
    count = sum(looked_up)
    assert scene.found()
    scene.repeat.given(1e-6)
    assert scene.kit.counted("hit") == before + 1
    assert sum(scene.kit.telemetry.cache_seconds.cell("memory").counts) == count + 1
    assert scene.kit.cache.payoff.hits == 1
    assert scene.kit.store.hits > 0
    assert (scene.requests.value, scene.seconds) == (1, [1e-6])


def _outlives(scene: Scene) -> None:
    scene.kit.clock.now += 60


def _is_evicted(scene: Scene) -> None:
    assert scene.asked.key is not None
    scene.kit.store.drop(scene.asked.key)


def _is_made_anew(scene: Scene) -> None:
    _is_evicted(scene)
    again = request(1)
    now(scene.kit.cache, again)
    assert again.key == scene.asked.key


def _model_goes(scene: Scene) -> None:
    scene.models.clear()


def _model_is_another(scene: Scene) -> None:
    scene.models["m"] = Served()
    scene.models["m"].info = scene.served.info


def _worker_serves_another_file(scene: Scene) -> None:
    scene.served.info = object()


def _cache_does_not_pay(scene: Scene) -> None:
    scene.served.questions = None


def _somebody_purges(scene: Scene) -> None:
    assert scene.served.questions is not None
    scene.served.questions.forget()


@pytest.mark.parametrize(
    "change",
    [
        _outlives,
        _is_evicted,
        _is_made_anew,
        _model_goes,
        _model_is_another,
        _worker_serves_another_file,
        _cache_does_not_pay,
        _somebody_purges,
    ],
)
def test_what_ends_it(change: Callable[[Scene], None]) -> None:
    """Then the stages are asked, who know what to do."""
    scene = Scene()
    assert scene.found()
    change(scene)
    assert not scene.found()


def test_stale_answers_are_left_to_the_cache() -> None:
    """It has them renewed, which a repeat does not."""
    scene = Scene()
    scene.kit.clock.now += 59.9
    assert scene.found()
    scene.kit.clock.now += 0.2
    assert not scene.found()


def test_a_hit_that_is_to_be_checked_is_left_to_the_cache() -> None:
    """Of all hits, repeats included, the share that is configured is checked."""
    scene = Scene(verify=0.2)
    passed = sum(scene.found() for _ in range(1000))
    # Until the next check, and then none: the cache has to count that one itself.
    assert passed < 200
    assert not scene.found()


def test_the_rows_of_a_batch_are_no_repeat() -> None:
    """They are looked up one by one."""
    kit = Kit(PromptService(), rowwise=lambda: True)
    asked = request(1, 2)
    now(kit.cache, asked)
    assert asked.key is not None
    assert kit.cache.repeat(asked.key) is None
    assert kit.cache.repeat(b"x" * 16) is None
