# SPDX-License-Identifier: Apache-2.0
"""Changeover: what is kept, what is new, and that no request is in between."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import msgspec
import pytest

from gateway.wire.generation import Place, Setting
from gateway.wire.model import TensorSpec
from tests.support.generations import Stage, config, stage, version
from tests.support.upstream import MODEL, settle


def with_file(stage: Stage, file: str) -> list[Place]:
    """The places of now with another model file, and so other workers."""
    return [
        msgspec.structs.replace(place, file=file, recipe=file, number=place.number + 10)
        for place in stage.gateway.generation.places
    ]


def names(stage: Stage, model: str = "m") -> list[str]:
    """The endpoints of *model* that take requests."""
    return sorted(endpoint.name for endpoint in stage.gateway.models[model].pool.endpoints)


async def test_a_model_that_did_not_change_stays_the_very_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its pool, its connections and all that is known of them."""
    async with stage(monkeypatch, config(m="")) as here:
        before = here.gateway.models["m"]
        await here.change(config(m="", n=""))
        assert here.gateway.models["m"] is before
        assert list(here.gateway.models) == ["m", "n"]
        assert [name for name, _ in here.peers] == ["m-0", "n-0"]


@pytest.mark.parametrize(
    "more",
    [
        ", batch: {max_rows: 3}",
        ", retry: {attempts: 3}",
        ", cache: {}",
        ", preprocess: [{scale: {factor: 0.5}}]",
        ", postprocess: [{softmax: {}}]",
    ],
    ids=["batch", "retry", "cache", "preprocess", "postprocess"],
)
async def test_another_stack_goes_over_the_same_pool(
    monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    """Connections and the estimate of a run's cost are kept."""
    async with stage(monkeypatch, config(m="")) as here:
        pool, cost = here.gateway.models["m"].pool, here.gateway.models["m"].batch.cost
        await here.change(config(m=more))
        model = here.gateway.models["m"]
        assert (model.pool is pool, model.batch.cost is cost) == (True, True)
        assert len(here.peers) == 1


@pytest.mark.parametrize(
    "more",
    [
        ", ejection: {consecutive: 9}",
        ", health: {fall: 9}",
        ", timeouts: {attempt: 1s}",
        ", policy: peak_ewma",
        ", policy: {consistent_hash: {header: x-user}}",
        ", panic_threshold: 30%",
        ", slow_start: {window: 1s}",
    ],
    ids=["ejection", "health", "timeouts", "policy", "keyed", "panic", "slow start"],
)
async def test_another_way_to_reach_workers_makes_another_pool(
    monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    """To the same workers; what a run costs is still known."""
    async with stage(monkeypatch, config(m="")) as here:
        pool, cost = here.gateway.models["m"].pool, here.gateway.models["m"].batch.cost
        await here.change(config(m=more))
        model = here.gateway.models["m"]
        assert (model.pool is pool, model.batch.cost is cost) == (False, True)
        assert [name for name, _ in here.peers] == ["m-0", "m-0"]
        await here.gateway.settled()
        assert list(here.gateway._pools) == [model.pool]


async def test_workers_come_and_go_in_the_same_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one takes nothing before the switch."""
    async with stage(monkeypatch, config(m="")) as here:
        (first,) = here.gateway.generation.places
        second = msgspec.structs.replace(first, number=1)
        change = here.to(here.config, places=[second])
        assert await change.prepare() == []
        assert names(here) == ["m-0"]
        change.commit()
        assert names(here) == ["m-1"]
        assert here.gateway.generation.number == 2


async def test_a_request_ends_with_the_version_that_it_began_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is on its way and one that waits in the queue; the next ones meet the new one."""
    async with stage(monkeypatch, config(m=", batch: {max_rows: 1}")) as here:
        old = [here.ask("m") for _ in range(4)]
        await settle()
        assert len(here.peer("m-0").sent) < 4
        here.info["m"] = version("2")
        await here.change(here.config, places=with_file(here, "2"))
        assert here.gateway.models["m"].pool.info == version("2")
        new = here.ask("m")
        await settle()
        here.peer("m-10").sent[0].respond()
        await new
        settled = asyncio.ensure_future(here.gateway.settled())
        for index in range(4):
            assert not settled.done()
            await settle()
            here.peer("m-0").sent[index].respond()
        await asyncio.gather(*old)
        assert len(here.peer("m-10").sent) == 1
        await settled


async def test_what_was_replaced_ends_without_the_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing refers back to a model: its last request is its end."""
    full = ", cache: {}, preprocess: [{scale: {factor: 0.5}}], postprocess: [{softmax: {}}]"
    async with stage(monkeypatch, config(m=full, n=full)) as here:
        gc.collect()
        gc.disable()
        try:
            await here.change(config(m=", batch: {max_rows: 2}"))
            assert here.gateway.ending == 2
            await settle()
            assert here.gateway.ending == 0
            assert len(here.gateway._pools) == 1
        finally:
            gc.enable()


async def test_a_held_reference_ends_with_the_longest_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is kept for ever by mistake."""
    async with stage(monkeypatch, config(m="")) as here:
        delays: list[float] = []
        loop = asyncio.get_running_loop()
        later = loop.call_later

        def call_later(delay: float, *rest: object) -> asyncio.TimerHandle:
            delays.append(delay)
            return later(0.0, *rest)  # type: ignore[arg-type]

        held = here.gateway.models["m"]
        change = here.to(config(n=""))
        assert await change.prepare() == []
        monkeypatch.setattr(loop, "call_later", call_later)
        change.commit()
        monkeypatch.undo()
        await here.gateway.settled()
        assert delays == [31.0]
        assert held.pool not in here.gateway._pools


async def test_steps_that_do_not_fit_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by asking the model, before anything is switched; nothing is left of the try."""
    async with stage(monkeypatch, config(m="")) as here:
        before = dict(here.gateway.models)
        change = here.to(config(m=", postprocess: [{argmax: {output: nothing}}]", n=""))
        faults = await change.prepare()
        change.abort()
        await settle()
        assert len(faults) == 1
        assert faults[0].startswith("models.m: ")
        assert "nothing" in faults[0]
        assert here.gateway.models == before
        assert here.gateway.generation.number == 1
        assert list(here.gateway._pools) == [before["m"].pool]


async def test_a_worker_that_cannot_be_reached_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some patience; it is named."""
    async with stage(monkeypatch, config(m="")) as here:
        here.info["n"] = None
        change = here.to(config(m="", n=""))
        assert await change.prepare(patience=0.001) == [
            "models.n: not connected to n-0 after 0.001 s",
            "models.n: no answer from any of n-0 after 0.001 s",
        ]
        change.abort()
        assert "n" not in here.gateway.models


async def test_an_abort_takes_added_endpoints_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool goes on as it was."""
    async with stage(monkeypatch, config(m="")) as here:
        (first,) = here.gateway.generation.places
        change = here.to(here.config, places=[first, msgspec.structs.replace(first, number=1)])
        assert await change.prepare() == []
        pool = here.gateway.models["m"].pool
        assert len(pool.held) == 1
        change.abort()
        assert (names(here), pool.held, pool.leaving) == (["m-0"], [], {})
        assert len(pool._work) == 1


async def test_operators_settings_come_into_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """And go again with the next generation that is without them."""
    async with stage(monkeypatch, config(m="")) as here:
        pool = here.gateway.models["m"].pool
        (endpoint,) = pool.endpoints
        await here.change(here.config, settings={"m-0": Setting(drained=True, weight=0.5)})
        assert (pool.endpoints, pool.held, endpoint.weight) == ([], [endpoint], 0.5)
        assert not here.gateway.models["m"].ready
        await here.change(here.config, settings={})
        assert (pool.endpoints, pool.held, endpoint.weight) == ([endpoint], [], 1.0)


async def test_a_verdict_of_probes_comes_into_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the pool that serves, and in another one that takes its place."""
    async with stage(monkeypatch, config(m="")) as here:
        (endpoint,) = here.gateway.models["m"].pool.endpoints
        await here.change(here.config, settings={"m-0": Setting(wrong=True)})
        assert (endpoint.wrong, endpoint.state) == (True, "ejected")
        await here.change(config(m=", health: {fall: 9}"))
        (other,) = here.gateway.models["m"].pool.endpoints
        assert other is not endpoint
        assert other.wrong
        await here.change(config(m=", health: {fall: 9}"), settings={})
        assert not other.wrong


async def test_a_drained_endpoint_stays_so_in_another_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """What operators say is of the endpoint, not of its connection."""
    async with stage(monkeypatch, config(m="")) as here:
        await here.change(here.config, settings={"m-0": Setting(drained=True)})
        await here.change(config(m=", health: {fall: 9}"))
        pool = here.gateway.models["m"].pool
        assert (pool.endpoints, [each.name for each in pool.held]) == ([], ["m-0"])


async def test_new_models_are_counted_under_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configured name is a label, whenever it was configured."""
    async with stage(monkeypatch, config(m="")) as here:
        await here.change(config(m="", n=""))
        task = here.ask("n")
        await settle()
        here.peer("n-0").sent[0].respond()
        await task
        assert here.telemetry.attempts.cell("n", "n-0", "ok").value == 1
        assert ("n", "n-0", "ok") in here.telemetry.attempts.cells


async def test_a_model_with_other_inputs_is_described_by_its_own_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Clients see the old description up to the switch, and the new one from there on."""
    other = msgspec.structs.replace(version("2"), inputs=(TensorSpec("z", "FP32", (-1, 7)),))
    async with stage(monkeypatch, config(m="")) as here:
        here.info["m"] = other
        change = here.to(here.config, places=with_file(here, "2"))
        assert await change.prepare() == []
        assert here.gateway.models["m"].info == MODEL
        change.commit()
        assert here.gateway.models["m"].info == other


async def test_what_is_said_of_a_shadow_makes_another_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Over the same pool; taken back, it is what the file says."""
    monkeypatch.setattr("gateway.sampler.sampling_key_file", lambda _: tmp_path / "key")
    wanted = config(m=", quality: {classes: 2}, shadow: {model: n}", n="")
    async with stage(monkeypatch, wanted) as here:
        before = here.gateway.models["m"]
        for said, sample in (({"m": {"n": 0.5}}, 0.5), ({}, 0.1)):
            change = here.to(wanted)
            change.generation = msgspec.structs.replace(change.generation, shadows=said)
            assert await change.prepare() == []
            change.commit()
            model = here.gateway.models["m"]
            assert [each.sample for each in model.config.shadows] == [sample]
            assert (model is before, model.pool is before.pool) == (False, True)
