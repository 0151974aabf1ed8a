# SPDX-License-Identifier: Apache-2.0
"""Finding a model on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from backends.errors import StartError
from backends.repository import external_files, find_model
from tests.support import models


def test_the_highest_version_is_the_default(tmp_path: Path) -> None:
    """Versions are numbers, so 10 is newer than 9; other directories are no versions."""
    for version in ("9", "10", "2", "tmp", "011"):
        models.save(models.identity(), tmp_path / "m", version=version)
    found = find_model(tmp_path / "m")
    assert (found.version, found.path) == ("10", tmp_path / "m" / "10" / "model.onnx")


def test_an_older_version_can_be_picked(tmp_path: Path) -> None:
    """The version option wins over the number."""
    for version in ("1", "2"):
        models.save(models.identity(), tmp_path / "m", version=version)
    assert find_model(tmp_path / "m", version="1").version == "1"


def test_the_name_is_that_of_the_directory_or_file(tmp_path: Path) -> None:
    """A name can be given; without one, the path has it."""
    directory = models.save(models.identity(), tmp_path / "digits")
    bare = tmp_path / "other.onnx"
    bare.write_bytes(models.identity().SerializeToString())
    assert find_model(directory).name == "digits"
    assert find_model(directory / "1" / "..").name == "digits"
    assert find_model(bare).name == "other"
    assert find_model(bare).version == "1"
    assert find_model(bare, name="mine").name == "mine"


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    """What `sha256sum` prints, so that anyone can compare."""
    directory = models.save(models.identity(), tmp_path / "m")
    content = (directory / "1" / "model.onnx").read_bytes()
    assert find_model(directory).digest == hashlib.sha256(content).hexdigest()


def test_the_digest_covers_external_weights(tmp_path: Path) -> None:
    """Other weights are another model, even where the .onnx file is the same."""
    file = models.with_external_weights(tmp_path)
    weights = tmp_path / "weights.data"
    assert external_files(file, file.read_bytes()) == {weights}
    before = find_model(file).digest
    content = bytearray(weights.read_bytes())
    content[0] ^= 1
    weights.write_bytes(content)
    assert find_model(file).digest != before


def test_unrelated_files_do_not_change_the_digest(tmp_path: Path) -> None:
    """Only files that the model names are part of it."""
    directory = models.save(models.identity(), tmp_path / "m")
    before = find_model(directory).digest
    (directory / "1" / "notes.data").write_text("nothing to do with it")
    assert find_model(directory).digest == before


def test_labels_of_the_version_win(tmp_path: Path) -> None:
    """A version may have other classes than the model had before."""
    directory = models.save(models.identity(), tmp_path / "m")
    (directory / "labels.txt").write_text("a\nb\n")
    assert find_model(directory).labels == ("a", "b")
    (directory / "1" / "labels.txt").write_text("c\r\nd e\r\n\r\n")
    assert find_model(directory).labels == ("c", "d e")


def _missing(path: Path) -> Path:
    return path / "nowhere"


def _empty(path: Path) -> Path:
    return path


def _version_without_model(path: Path) -> Path:
    (path / "3").mkdir()
    return path


def _version_itself(path: Path) -> Path:
    return models.save(models.identity(), path / "m") / "1"


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (_missing, "no such file or directory; give MODEL"),
        (_empty, "no version directory"),
        (_version_without_model, "version 3 must hold model.onnx"),
        (_version_itself, "give its parent"),
    ],
)
def test_a_path_without_a_model_is_explained(tmp_path: Path, prepare: object, says: str) -> None:
    """The error names the path and what would be right."""
    assert callable(prepare)
    path = prepare(tmp_path)
    with pytest.raises(StartError, match=says) as caught:
        find_model(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("version", ["7", "x", "../1"])
def test_a_version_that_is_not_there_is_refused(tmp_path: Path, version: str) -> None:
    """The versions that are there are listed."""
    directory = models.save(models.identity(), tmp_path / "m")
    with pytest.raises(StartError, match=r"it holds 1$"):
        find_model(directory, version=version)


def test_a_bare_file_has_only_version_1(tmp_path: Path) -> None:
    """Another version of a file cannot exist."""
    bare = tmp_path / "m.onnx"
    bare.write_bytes(b"")
    with pytest.raises(StartError, match="a bare file is always version 1"):
        find_model(bare, version="2")


def test_labels_must_be_text(tmp_path: Path) -> None:
    """A label file in another encoding would give wrong names."""
    directory = models.save(models.identity(), tmp_path / "m")
    (directory / "labels.txt").write_bytes(b"gr\xfcn\n")
    with pytest.raises(StartError, match="not UTF-8"):
        find_model(directory)
