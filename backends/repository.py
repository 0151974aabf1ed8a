# SPDX-License-Identifier: Apache-2.0
"""A model on disk: which file to load, under which name and version, with which digest and labels.

A repository directory holds numbered versions, MODEL/VERSION/model.onnx; a bare .onnx file is
version 1 of a model named after it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

import msgspec

from backends.errors import StartError

MODEL_FILE: Final = "model.onnx"
LABELS_FILE: Final = "labels.txt"
_CHUNK: Final = 1 << 20
# A protobuf map entry {key: "location", value: PATH}: how a model names a file with its weights.
_EXTERNAL: Final = re.compile(rb"\n\x08location\x12([\x01-\x7f]|[\x80-\xff]\x01)", re.DOTALL)


class ModelFile(msgspec.Struct, frozen=True):
    """A model to be loaded: *path* is its .onnx file, *labels* empty without a label file.

    *digest* is the SHA-256 of the file in hex; where weights stand in files of their own, of
    the file and, in the order of their names, of name, size and content of each.
    """

    name: str
    version: str
    path: Path
    digest: str
    labels: tuple[str, ...] = ()


def find_model(path: Path, *, version: str = "", name: str = "") -> ModelFile:
    """The model at *path*, a repository directory or an .onnx file.

    *version* "" means the highest number; *name* "" the directory's or the file's own.
    Raises StartError if there is none, or its files cannot be read.
    """
    try:
        if path.is_dir():
            file, version = _in_repository(path, version)
            labels = _labels(file.parent, path)
        elif path.is_file():
            if version not in {"", "1"}:
                raise StartError(
                    path, f"version {version} wanted, but a bare file is always version 1"
                )
            file, version, labels = path, "1", ()
        else:
            raise StartError(
                path, "no such file or directory; give MODEL (with MODEL/1/model.onnx) or FILE.onnx"
            )
        # Resolved, since the name of "models/digits/1/.." is what the directory is called.
        default = path.resolve().name if path.is_dir() else path.stem
        return ModelFile(name or default, version, file, digest(file), labels)
    except OSError as error:
        raise StartError(error.filename or path, f"cannot be read: {error.strerror}") from error


def _in_repository(directory: Path, wanted: str) -> tuple[Path, str]:
    versions = sorted(
        (entry.name for entry in directory.iterdir() if _is_version(entry.name) and entry.is_dir()),
        key=int,
    )
    if wanted and wanted not in versions:
        listed = ", ".join(versions) or "no version at all"
        raise StartError(directory, f"no version {wanted}; it holds {listed}")
    if not versions:
        hint = ""
        if (directory / MODEL_FILE).is_file():
            hint = f"; {MODEL_FILE} lies directly in it: give its parent, or the file itself"
        raise StartError(
            directory, f"no version directory; {directory.name}/1/{MODEL_FILE} is expected{hint}"
        )
    version = wanted or versions[-1]
    file = directory / version / MODEL_FILE
    if not file.is_file():
        raise StartError(file, f"no such file; version {version} must hold {MODEL_FILE}")
    return file, version


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal() and not name.startswith("0")


def _labels(version: Path, model: Path) -> tuple[str, ...]:
    """One class name a line; those of the version win over those of the model."""
    for file in (version / LABELS_FILE, model / LABELS_FILE):
        if file.is_file():
            try:
                lines = file.read_text(encoding="utf-8").rstrip("\r\n").splitlines()
            except UnicodeDecodeError as error:
                raise StartError(file, f"not UTF-8: {error}") from error
            return tuple(line.strip() for line in lines)
    return ()


def digest(file: Path) -> str:
    """SHA-256 in hex of an .onnx *file* and of the weight files that it names."""
    content = file.read_bytes()
    total = hashlib.sha256(content)
    for external in sorted(external_files(file, content)):
        total.update(f"{external.name}\0{external.stat().st_size}\0".encode())
        with external.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                total.update(chunk)
    return total.hexdigest()


def external_files(file: Path, content: bytes) -> set[Path]:
    """The files beside *file* that its *content* names as places of weights.

    Found by the protobuf bytes of the entry, so that a model need not be parsed twice.
    """
    found = set()
    for match in _EXTERNAL.finditer(content):
        size = match[1][0]
        if len(match[1]) == 2:
            size = size & 0x7F | match[1][1] << 7
        location = content[match.end() : match.end() + size].decode(errors="replace")
        candidate = file.parent / location
        if "\0" not in location and candidate.is_file():
            found.add(candidate)
    return found
