# SPDX-License-Identifier: Apache-2.0
"""Placement: which worker processes a configuration asks for, and which of those run already."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gateway.wire.generation import Place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from gateway.config.backend import WorkerConfig
    from gateway.config.root import Config


def placed(
    config: Config, *, running: Iterable[Place] = (), taken: Collection[str] = ()
) -> tuple[Place, ...]:
    """A place for every worker that *config* asks for.

    One of *running* with the same recipe is kept, the lowest number first. A new one gets the
    lowest number that neither a kept one nor a name in *taken* has: names stay few, and the old
    and the new worker can run side by side.
    """
    old: dict[tuple[str, str], list[Place]] = {}
    for place in sorted(running, key=lambda place: place.number, reverse=True):
        old.setdefault((place.model, place.recipe), []).append(place)
    places: list[Place] = []
    for model, section in config.models.items():
        kept: list[Place] = []
        wanted: list[Place] = []
        for index, backend in enumerate(section.backends):
            if backend.worker is None:
                continue
            draft = _draft(model, index, backend.worker)
            for _ in range(backend.worker.replicas):
                same = old.get((model, draft.recipe))
                if same:
                    kept.append(msgspec.structs.replace(same.pop(), backend=index))
                else:
                    wanted.append(draft)
        free = numbers(model, {place.name for place in kept} | set(taken))
        fresh = [msgspec.structs.replace(draft, number=next(free)) for draft in wanted]
        places += sorted([*kept, *fresh], key=lambda place: place.number)
    return tuple(places)


def numbers(model: str, taken: Collection[str]) -> Iterator[int]:
    """The numbers that a new worker of *model* may have, the lowest first."""
    number = 0
    while True:
        if f"{model}-{number}" not in taken:
            yield number
        number += 1


def _draft(model: str, backend: int, worker: WorkerConfig) -> Place:
    version, file = model_file(worker)
    # How many there are is no part of what each is.
    # A secret in its environment is a part of it as any other text; what is told is the digest.
    told = msgspec.msgpack.Encoder(enc_hook=str, order="sorted").encode(
        (msgspec.structs.replace(worker, replicas=1), version, file)
    )
    recipe = blake2b(told, digest_size=16).hexdigest()
    return Place(model, 0, backend, version, file, recipe)


def model_file(worker: WorkerConfig) -> tuple[str, str]:
    """The version that *worker* would serve if it were started now, and its file as it lies there.

    The file is told by its path, size, time and inode, so that one that was replaced is another
    one. Where there is none, both are empty: whoever loads it says what is missing.
    """
    path = Path(worker.path)
    version = ""
    try:
        if path.is_dir():
            found = [
                int(each.name)
                for each in path.iterdir()
                if _is_version(each.name) and each.is_dir()
            ]
            number = max(found) if worker.version is None else worker.version
            version = str(number)
            path = path / version / "model.onnx"
        status = path.stat()
    except (OSError, ValueError):
        return version, ""
    return version, f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal() and not name.startswith("0")
