# SPDX-License-Identifier: Apache-2.0
"""Checks of whole sections, and of the files that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.backend import WorkerConfig
from gateway.config.checks import model_files
from gateway.config.load import read
from gateway.errors import ConfigError


def fault(text: str) -> str:
    """The only fault of *text*."""
    with pytest.raises(ConfigError) as caught:
        read(text, name="f", files=False)
    (only,) = caught.value.faults
    return only


def repository(root: Path, *files: str) -> Path:
    """A model directory in *root* that has *files*."""
    for name in files:
        path = root / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root / "model"


def found(path: Path, version: int | None = None) -> list[tuple[str, str]]:
    """What is wrong with the model at *path*."""
    return list(model_files(WorkerConfig(path=str(path), version=version)))


def test_both_ports_cannot_be_one() -> None:
    """The data port is open to clients, the admin port is not."""
    text = "server: {http: 'h:1', admin: 'h:1'}\nmodels: {a: {backends: [{address: 'unix:x'}]}}"
    assert fault(text) == "f:1: server.admin: is the same as http, h:1; expected another port"


def test_any_free_port_may_be_asked_for_twice() -> None:
    """Port 0 is a different one each time."""
    text = "server: {http: 'h:0', admin: 'h:0'}\nmodels: {a: {backends: [{address: 'unix:x'}]}}"
    assert read(text, name="f", files=False).server.http == "h:0"


def test_one_worker_cannot_be_two() -> None:
    """An address that is there twice would be counted twice."""
    text = "models:\n  a:\n    backends: [{address: 'unix:x'}, {address: 'unix:x'}]"
    assert fault(text) == (
        "f:3: models.a.backends: the address unix:x is there twice; expected each worker once"
    )


def test_store_has_room_for_an_entry() -> None:
    """A cache that can hold no entry of a model is a mistake."""
    text = "cache: {max_bytes: 1MiB}\nmodels: {a: {backends: [{address: 'unix:x'}], cache: {}}}"
    assert fault(text) == "f:1: cache: max_bytes is 1MiB; the model a has entries up to 4MiB"


@pytest.mark.parametrize("backend", ["{}", "{worker: {path: x}, address: 'unix:x'}"])
def test_backend_is_either_started_or_elsewhere(backend: str) -> None:
    """It cannot be both, nor nothing."""
    assert fault(f"models: {{a: {{backends: [{backend}]}}}}") == (
        "f:1: models.a.backends[0]: expected either worker, address or url"
    )


def test_model_directory_with_a_version_is_good(tmp_path: Path) -> None:
    """So is one with several, and a single file."""
    path = repository(tmp_path, "1/model.onnx", "10/model.onnx", "notes/readme")
    assert found(path) == found(path, 1) == found(path / "1" / "model.onnx") == []


def test_model_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """The message has the directory from which the path was looked up."""
    path = tmp_path / "nope"
    assert found(path) == [("path", f"{path} does not exist, seen from {Path.cwd()}")]


def test_file_of_another_kind_is_a_fault(tmp_path: Path) -> None:
    """Only ONNX models can be served."""
    path = repository(tmp_path, "model.pt") / "model.pt"
    assert found(path) == [
        ("path", f"{path} is not an .onnx file; expected one, or a model directory")
    ]


def test_directory_without_versions_is_a_fault(tmp_path: Path) -> None:
    """The message has the file that was looked for."""
    path = repository(tmp_path, "model.onnx")
    assert found(path) == [
        ("path", f"{path} has no version directory; expected {path}/1/model.onnx")
    ]


def test_version_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """The message has those that are."""
    path = repository(tmp_path, "1/model.onnx", "2/model.onnx")
    assert found(path, 3) == [("version", f"{path} has no version 3; versions there: 1, 2")]


def test_newest_version_without_a_model_is_a_fault(tmp_path: Path) -> None:
    """An older one is not taken in its place."""
    path = repository(tmp_path, "1/model.onnx", "2/other")
    assert found(path) == [("path", f"{path / '2' / 'model.onnx'} does not exist")]


def test_a_statistics_file_that_is_not_there_is_found(tmp_path: Path) -> None:
    """By `infergate check`, with the line of the key that names it."""
    (tmp_path / "model.onnx").write_bytes(b"")
    text = (
        f"models:\n  m:\n    backends: [{{worker: {{path: {tmp_path / 'model.onnx'}}}}}]\n"
        "    preprocess:\n      - table:\n          columns: {a: {}}\n"
        "          operations: [{standard: {}}]\n          statistics: nowhere.json\n"
    )
    with pytest.raises(ConfigError) as caught:
        read(text, name="c.yaml")

    (fault,) = caught.value.faults
    assert fault.startswith("c.yaml:8: models.m.preprocess[0].table.statistics: ")
    assert "infergate fit-preprocess writes one" in fault
    assert "m" in read(text, name="c.yaml", files=False).models


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("quality: {classes: 2}, candidate: {model: b}", "'b' is no shadow of the model"),
        (
            "quality: {classes: 2}, shadow: {model: b, sample: 0}, candidate: {model: b}",
            "some requests are never mirrored where shadow.sample is 0",
        ),
        ("shadow: {model: b}, candidate: {model: b}", "quality is missing beside it"),
        (
            "quality: {task: regression}, shadow: {model: b}, candidate: {model: b}",
            "a regression's answers are neither right nor wrong",
        ),
        (
            "quality: {classes: 2}, shadow: {model: b}, candidate: {model: b, stages: [10%, 5%]}",
            "stages: expected shares that grow",
        ),
    ],
)
def test_a_candidate_must_be_comparable(more: str, words: str) -> None:
    """Pairs come from a shadow, and answers are right or wrong."""
    text = (
        f"models: {{a: {{backends: [{{address: 'unix:x'}}], {more}}}, "
        "b: {backends: [{address: 'unix:y'}]}}"
    )
    assert words in fault(text)


@pytest.mark.parametrize(
    ("candidate", "words"),
    [("a", "is the model itself"), ("c", "there is no model 'c'"), ("b", "candidate of its own")],
)
def test_a_candidate_is_another_model_of_the_file(candidate: str, words: str) -> None:
    """One that has no candidate itself."""
    own = "quality: {classes: 2}, shadow: {model: %s}, candidate: {model: %s}"
    text = (
        f"models: {{a: {{backends: [{{address: 'unix:x'}}], {own % (candidate, candidate)}}}, "
        f"b: {{backends: [{{address: 'unix:y'}}], {own % ('d', 'd')}}}, "
        "d: {backends: [{address: 'unix:z'}]}}"
    )
    with pytest.raises(ConfigError) as caught:
        read(text, name="f", files=False)
    assert any(words in each for each in caught.value.faults)
