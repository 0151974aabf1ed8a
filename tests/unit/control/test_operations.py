# SPDX-License-Identifier: Apache-2.0
"""Operations: which generation each makes of the one in effect, and what it says of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import msgspec
import pytest

from gateway.config.load import load, read
from gateway.config.placement import placed
from gateway.control.operations import Operations, Outcome
from gateway.control.publisher import OperationFailed, Publisher
from gateway.telemetry import Telemetry
from gateway.wire.generation import Generation, Rollout, Setting
from gateway.wire.runtime import config_copy


class Publishing:
    """A publisher that only remembers; *fault* is what the next one fails with."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.fading: set[str] = set()
        self.published: list[Generation] = []
        self.tidied: list[int] = []
        self.fault = ""

    @property
    def taken(self) -> set[str]:
        """Names that no new worker may have."""
        return self.generation.names() | self.fading

    async def publish(self, generation: Generation) -> None:
        """Take it, or fail."""
        await asyncio.sleep(0)
        if self.fault:
            raise OperationFailed([self.fault])
        self.published.append(generation)
        self.generation = generation

    async def tidy(self) -> None:
        """Remember when."""
        self.tidied.append(self.generation.number)


class Desk:
    """Operations over a file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "config.yaml"
        for model in ("m", "n"):
            (directory / model / "1").mkdir(parents=True)
            (directory / model / "1" / "model.onnx").write_bytes(b"x")
        self.write("replicas: 2")
        config = load(str(self.file))
        self.publisher = Publishing(Generation(1, str(self.file), placed(config)))
        self.telemetry = Telemetry(config.models)
        self.operations = Operations(
            str(self.file),
            config,
            cast("Publisher", self.publisher),
            runtime=directory,
            telemetry=self.telemetry,
        )

    def write(self, worker: str, *more: str) -> None:
        """Another file: a worker of m, and further models by their names."""
        others = "".join(
            f"  {name}: {{backends: [{{worker: {{path: {self.directory / name}}}}}]}}\n"
            for name in more
        )
        self.file.write_text(
            f"models:\n  m: {{backends: [{{worker: {{path: {self.directory / 'm'}, {worker}}}}}, "
            f"{{address: tcp:10.0.0.7:9000}}]}}\n{others}"
        )

    def results(self) -> dict[str, float]:
        """Reloads by result."""
        cells = self.telemetry.config_reloads.cells
        return {labels[0]: cell.value for labels, cell in cells.items()}


@pytest.fixture(name="desk")
def fixture_desk(tmp_path: Path) -> Desk:
    """One model with two workers and one elsewhere."""
    return Desk(tmp_path)


async def test_a_reload_publishes_what_the_file_says(desk: Desk) -> None:
    """With a copy of it, under the next number."""
    desk.write("replicas: 3", "n")
    outcome = await desk.operations.reload()
    assert (outcome.result, outcome.generation) == ("applied", 2)
    assert outcome.changes == (
        "models.m: changed: backends",
        "models.n: added",
        "workers started: m-2 (version 1), n-0 (version 1)",
    )
    (generation,) = desk.publisher.published
    assert generation.names() == {"m-0", "m-1", "m-2", "n-0"}
    copy = config_copy(desk.directory, 2)
    assert generation.config == str(copy)
    assert copy.read_bytes() == desk.file.read_bytes()
    assert list(desk.operations.config.models) == ["m", "n"]
    assert "n" in desk.telemetry.models
    assert desk.telemetry.config_generation.cell().value == 2


async def test_a_reload_of_the_same_file_is_no_generation(desk: Desk) -> None:
    """Nothing is published, and the number stays."""
    outcome = await desk.operations.reload()
    assert (outcome.result, outcome.generation) == ("unchanged", 1)
    assert desk.publisher.published == []
    assert desk.results() == {"unchanged": 1}


async def test_a_new_version_is_a_change_though_the_file_is_the_same(desk: Desk) -> None:
    """Its workers are others."""
    (desk.directory / "m" / "2").mkdir()
    (desk.directory / "m" / "2" / "model.onnx").write_bytes(b"y")
    outcome = await desk.operations.reload()
    assert outcome.changes == (
        "workers started: m-2 (version 2), m-3 (version 2)",
        "workers ended: m-0, m-1",
    )


async def test_a_faulty_file_changes_nothing_and_every_fault_is_told(desk: Desk) -> None:
    """With its line."""
    desk.file.write_text("server: {prozesses: 1}\nmodels: {}\n")
    with pytest.raises(OperationFailed) as caught:
        await desk.operations.reload()
    assert caught.value.invalid
    assert [fault.partition("config.yaml:")[2][:9] for fault in caught.value.faults] == [
        "1: server",
        "2: models",
    ]
    assert desk.publisher.published == []
    assert list(desk.operations.config.models) == ["m"]
    assert desk.results() == {"rejected": 1}


async def test_a_missing_file_changes_nothing(desk: Desk) -> None:
    """It is a fault as any other."""
    desk.file.unlink()
    with pytest.raises(OperationFailed, match="cannot be read") as caught:
        await desk.operations.reload()
    assert caught.value.invalid


async def test_what_cannot_be_published_is_not_in_effect(desk: Desk) -> None:
    """The configuration is the one of before, and so is the number."""
    desk.write("replicas: 3")
    desk.publisher.fault = "m-2: no such file"
    with pytest.raises(OperationFailed, match="m-2: no such file") as caught:
        await desk.operations.reload()
    assert not caught.value.invalid
    assert desk.operations.config.models["m"].backends[0].worker.replicas == 2  # type: ignore[union-attr]
    assert desk.telemetry.config_generation.cell().value == 1
    assert desk.results() == {"failed": 1}
    desk.publisher.fault = ""
    assert (await desk.operations.reload()).generation == 2


async def test_names_of_workers_that_still_end_are_not_taken(desk: Desk) -> None:
    """Two workers would meet on one socket."""
    desk.publisher.fading = {"m-2"}
    desk.write("replicas: 3")
    await desk.operations.reload()
    assert desk.publisher.generation.names() == {"m-0", "m-1", "m-3"}


async def test_settings_go_with_their_endpoints(desk: Desk) -> None:
    """They outlive a reload, but not their endpoint."""
    for name in ("m-0", "m-1", "tcp:10.0.0.7:9000"):
        await desk.operations.set_endpoint(name, lambda _: Setting(drained=True))
    desk.write("replicas: 1")
    await desk.operations.reload()
    assert set(desk.publisher.generation.settings) == {"m-0", "tcp:10.0.0.7:9000"}


async def test_a_setting_that_changes_nothing_is_no_generation(desk: Desk) -> None:
    """And one that says nothing more is forgotten."""
    assert await desk.operations.set_endpoint("m-0", lambda setting: setting) == Setting()
    assert desk.publisher.published == []
    await desk.operations.set_endpoint("m-0", lambda _: Setting(weight=2.0))
    await desk.operations.set_endpoint("m-0", lambda _: Setting())
    assert desk.publisher.generation.settings == {}
    assert desk.publisher.generation.number == 3


async def test_a_rolling_restart_replaces_one_by_one(desk: Desk) -> None:
    """Each generation has one new worker, and what was replaced has ended before the next."""
    before = desk.publisher.generation.places
    await desk.operations.set_endpoint("m-1", lambda _: Setting(weight=2.0))
    replaced = await desk.operations.restart("m")
    assert replaced == [("m-0", "m-2"), ("m-1", "m-0")]
    assert [sorted(each.names()) for each in desk.publisher.published[1:]] == [
        ["m-1", "m-2"],
        ["m-0", "m-2"],
    ]
    assert desk.publisher.tidied == [3, 4]
    now = desk.publisher.generation
    assert {place.recipe for place in now.places} == {place.recipe for place in before}
    assert now.settings == {"m-0": Setting(weight=2.0)}


async def test_a_rolling_restart_that_fails_says_how_far_it_came(desk: Desk) -> None:
    """What was replaced before stays replaced."""
    publish = desk.publisher.publish

    async def fail_second(generation: Generation) -> None:
        if desk.publisher.published:
            raise OperationFailed(["m-3: shot"])
        await publish(generation)

    desk.publisher.publish = fail_second  # type: ignore[method-assign]
    with pytest.raises(OperationFailed) as caught:
        await desk.operations.restart("m")
    assert caught.value.faults == ["m-3: shot", "workers replaced before that: m-0"]
    assert desk.publisher.generation.names() == {"m-1", "m-2"}


async def test_operations_come_one_after_the_other(desk: Desk) -> None:
    """Each builds on what the one before has published."""
    desk.write("replicas: 3")
    await asyncio.gather(
        desk.operations.reload(),
        desk.operations.set_endpoint("m-0", lambda _: Setting(drained=True)),
        desk.operations.restart("m"),
    )
    numbers = [generation.number for generation in desk.publisher.published]
    assert numbers == list(range(2, 2 + len(numbers)))
    assert len(desk.publisher.generation.places) == 3


async def test_many_wishes_for_a_reload_are_few_reloads(desk: Desk) -> None:
    """What comes while one is under way is answered by the next."""
    running = asyncio.ensure_future(desk.operations.run())
    for _ in range(5):
        desk.operations.ask_for_reload()
    await asyncio.sleep(0)
    while not desk.results():
        await asyncio.to_thread(lambda: None)
    desk.file.write_text("models: {}\n")
    desk.operations.ask_for_reload()
    while len(desk.results()) < 2:
        await asyncio.to_thread(lambda: None)
    assert desk.results() == {"unchanged": 1, "rejected": 1}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_endpoints_are_workers_and_those_elsewhere(desk: Desk) -> None:
    """By the names that operators use."""
    assert desk.operations.endpoints("m") == ["m-0", "m-1", "tcp:10.0.0.7:9000"]
    assert desk.operations.models_of("m-1") == ["m"]
    assert desk.operations.models_of("m-9") == []


def test_servers_elsewhere_are_endpoints_of_their_models(desk: Desk) -> None:
    """By model and place, and by address where a name is resolved; only those that may be."""
    text = (
        "models: {m: {backends: [{url: 'http://far:8000'}, {url: 'https://[::1]'}]},"
        " n: {backends: [{url: 'http://far:8000'}, {address: 'tcp:w:9', resolve: 5s}]}}"
    )
    desk.operations.config = read(text, name="f", files=False)
    assert desk.operations.endpoints("n") == ["n@far:8000", "tcp:w:9#ADDRESS"]
    assert desk.operations.models_of("m@far:8000") == ["m"]
    assert desk.operations.models_of("m@[::1]:443") == ["m"]
    assert desk.operations.models_of("tcp:w:9#10.0.0.1") == ["n"]
    assert desk.operations.models_of("tcp:w:9") == []
    assert desk.operations.models_of("") == []


def test_an_outcome_reads_as_json() -> None:
    """As the admin port answers it."""
    assert msgspec.to_builtins(Outcome("applied", 2)) == {
        "result": "applied",
        "generation": 2,
        "changes": (),
        "restart": (),
    }


async def test_a_share_of_a_candidate_is_a_generation_and_outlives_reloads(desk: Desk) -> None:
    """As long as the file names the same candidate; what does not change publishes nothing."""
    candidate = "quality: {classes: 2}, shadow: {model: n}, candidate: {model: n}"
    models = {name: desk.directory / name for name in ("m", "n")}

    def write(more: str) -> None:
        desk.file.write_text(
            f"models:\n  m: {{backends: [{{worker: {{path: {models['m']}}}}}], {more}}}\n"
            f"  n: {{backends: [{{worker: {{path: {models['n']}}}}}]}}\n"
        )

    write(candidate)
    await desk.operations.reload()
    share = desk.telemetry.candidates.share
    assert await desk.operations.set_rollout("m", lambda _: Rollout("n", 0.5)) == Rollout("n", 0.5)
    assert await desk.operations.set_rollout("m", lambda now: now) == Rollout("n", 0.5)
    assert [each.number for each in desk.publisher.published] == [2, 3]
    assert share.cell("m").value == 0.5
    write(f"{candidate}, batch: {{max_rows: 3}}")
    await desk.operations.reload()
    assert desk.publisher.generation.rollouts == {"m": Rollout("n", 0.5)}
    write("quality: {classes: 2}")
    await desk.operations.reload()
    assert (desk.publisher.generation.rollouts, share.cells) == ({}, {})


async def test_what_is_said_of_a_shadow_outlives_reloads(desk: Desk) -> None:
    """As long as the file has it; None gives it back to the file."""

    def write(more: str) -> None:
        desk.file.write_text(
            f"models:\n  m: {{backends: [{{worker: {{path: {desk.directory / 'm'}}}}}]{more}}}\n"
            f"  n: {{backends: [{{worker: {{path: {desk.directory / 'n'}}}}}]}}\n"
        )

    write(", shadow: {model: n}")
    await desk.operations.reload()
    await desk.operations.set_shadow("m", "n", 0.5)
    await desk.operations.set_shadow("m", "n", 0.5)
    assert desk.publisher.generation.shadows == {"m": {"n": 0.5}}
    assert [each.number for each in desk.publisher.published] == [2, 3]
    write(", shadow: {model: n}, batch: {max_rows: 3}")
    await desk.operations.reload()
    assert desk.publisher.generation.shadows == {"m": {"n": 0.5}}
    await desk.operations.set_shadow("m", "n", None)
    assert desk.publisher.generation.shadows == {}
    await desk.operations.set_shadow("m", "n", 0.2)
    write("")
    await desk.operations.reload()
    assert desk.publisher.generation.shadows == {}
