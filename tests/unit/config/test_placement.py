# SPDX-License-Identifier: Apache-2.0
"""Placement: which workers there are to be, and which of them run already."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import msgspec
import pytest

from gateway.config import BackendConfig, Config, ModelConfig, WorkerConfig
from gateway.config.placement import model_file, numbers, placed


def version(directory: Path, number: str, content: bytes = b"x") -> Path:
    """A version in a model directory."""
    (directory / number).mkdir(parents=True, exist_ok=True)
    (directory / number / "model.onnx").write_bytes(content)
    return directory


def config(*workers: WorkerConfig, model: str = "m") -> Config:
    """One model with these workers."""
    backends = tuple(BackendConfig(worker=worker) for worker in workers)
    return Config(models={model: ModelConfig(backends=backends)})


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path) -> str:
    """A model directory with one version."""
    return str(version(tmp_path / "m", "1"))


def test_replicas_are_numbered_over_all_backends(path: str) -> None:
    """Those elsewhere have no number."""
    first = WorkerConfig(path=path, replicas=2)
    backends = (
        BackendConfig(worker=first),
        BackendConfig(address="tcp:10.0.0.7:9000"),
        BackendConfig(worker=WorkerConfig(path=path, threads=2)),
    )
    places = placed(Config(models={"m": ModelConfig(backends=backends)}))
    assert [(place.name, place.backend) for place in places] == [("m-0", 0), ("m-1", 0), ("m-2", 2)]
    assert places[0].recipe == places[1].recipe != places[2].recipe


def test_what_is_the_same_is_kept(path: str) -> None:
    """Under its name; more replicas are added and fewer leave the lowest numbers."""
    running = placed(config(WorkerConfig(path=path, replicas=2)))
    more = placed(config(WorkerConfig(path=path, replicas=3)), running=running)
    assert more[:2] == running
    assert more[2].name == "m-2"
    fewer = placed(config(WorkerConfig(path=path)), running=more)
    assert [place.name for place in fewer] == ["m-0"]


@pytest.mark.parametrize(
    "change",
    [{"threads": 2}, {"arena": False}, {"env": {"A": "b"}}, {"warmup": 9}],
    ids=lambda change: next(iter(change)),
)
def test_what_is_started_in_another_way_is_another_worker(
    path: str, change: dict[str, object]
) -> None:
    """With a number that nobody has, so that both can run."""
    worker = WorkerConfig(path=path, replicas=2)
    running = placed(config(worker))
    names = {place.name for place in running}
    changed = placed(
        config(msgspec.structs.replace(worker, **change)), running=running, taken=names
    )
    assert [place.name for place in changed] == ["m-2", "m-3"]
    back = placed(config(worker), running=changed, taken={place.name for place in changed})
    assert [place.name for place in back] == ["m-0", "m-1"]


def test_a_new_version_is_another_worker(tmp_path: Path) -> None:
    """Unless the configuration names the one to serve."""
    directory = version(tmp_path / "m", "1")
    newest, pinned = WorkerConfig(path=str(directory)), WorkerConfig(path=str(directory), version=1)
    running, held = placed(config(newest)), placed(config(pinned))
    version(directory, "2")
    version(directory, "10")
    (place,) = placed(config(newest), running=running, taken={"m-0"})
    assert (place.name, place.version) == ("m-1", "10")
    assert placed(config(pinned), running=held) == held


def test_a_file_that_was_overwritten_is_another_worker(tmp_path: Path) -> None:
    """Its size, time or inode tell."""
    directory = version(tmp_path / "m", "1")
    worker = WorkerConfig(path=str(directory))
    running = placed(config(worker))
    version(directory, "1", b"other content")
    (place,) = placed(config(worker), running=running, taken={"m-0"})
    assert place.name == "m-1"


def test_a_backend_that_moved_keeps_its_workers(path: str) -> None:
    """The order in the file is no part of what they are."""
    one, two = WorkerConfig(path=path), WorkerConfig(path=path, threads=2)
    running = placed(config(one, two))
    moved = placed(config(two, one), running=running)
    assert {place.name for place in moved} == {"m-0", "m-1"}
    assert [place.backend for place in moved] == [1, 0]


def test_a_file_of_its_own_has_no_version_to_choose(tmp_path: Path) -> None:
    """The worker calls it version 1."""
    file = tmp_path / "x.onnx"
    file.write_bytes(b"x")
    found, told = model_file(WorkerConfig(path=str(file)))
    assert found == ""
    assert told.startswith(f"{file} 1 ")


@pytest.mark.parametrize("name", ["absent", "empty", "hollow"])
def test_what_is_not_there_has_no_file(tmp_path: Path, name: str) -> None:
    """Whoever loads it says so."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "3").mkdir(parents=True)
    (tmp_path / "empty" / "4").write_text("a file is no version")
    assert model_file(WorkerConfig(path=str(tmp_path / name)))[1] == ""


def test_the_lowest_free_numbers_come_first() -> None:
    """Names stay few."""
    assert list(islice(numbers("m", {"m-0", "m-2", "n-1"}), 3)) == [1, 3, 4]
