# SPDX-License-Identifier: Apache-2.0
"""Difference: what a reload changes, and what it cannot change, in words for an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.config.secret import masked
from gateway.config.server import ServerConfig
from gateway.control.masking import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.config import Config
    from gateway.wire.generation import Generation, Place

# Keys of the section server that a reload puts into effect; sockets, processes and the limits of
# connections are taken once.
LIVE: Final = ("log_level", "reload")


def effective(now: Config, file: Config) -> Config:
    """What a reload of *file* can put into effect while *now* runs."""
    live = {name: getattr(file.server, name) for name in LIVE}
    server: ServerConfig = msgspec.structs.replace(now.server, **live)
    return msgspec.structs.replace(file, server=server, cache=now.cache, ledger=now.ledger)


def needing_restart(now: Config, file: Config) -> Iterator[str]:
    """A line for each key of *file* that has another value in effect until the next start."""
    wanted = effective(now, file)
    for section in ("server", "cache", "ledger"):
        running, asked = (getattr(each, section) for each in (wanted, file))
        before, after = (_flat(section, _plain(each, str)) for each in (running, asked))
        shown, told = (
            _flat(section, without_secrets(_plain(each, masked))) for each in (running, asked)
        )
        for path, value in after.items():
            if before[path] != value:
                yield (
                    f"{path}: {told[path]} is in the file, {shown[path]} in effect until the next "
                    "start"
                )


def changes(
    before: Config, generation: Generation, after: Config, places: Sequence[Place]
) -> Iterator[str]:
    """A line for each model that is another one, and one each for workers that come and go."""
    for name, section in after.models.items():
        old = before.models.get(name)
        if old is None:
            yield f"models.{name}: added"
        elif old != section:
            differ = [
                field
                for field in section.__struct_fields__
                if getattr(old, field) != getattr(section, field)
            ]
            yield f"models.{name}: changed: {', '.join(differ)}"
    for name in before.models:
        if name not in after.models:
            yield f"models.{name}: removed"
    if before.server != after.server:
        yield "server: changed"
    new = {place.name: place for place in places}
    old_names = generation.names()
    if started := [name for name in new if name not in old_names]:
        yield f"workers started: {', '.join(_versioned(new[name]) for name in started)}"
    if ended := sorted(old_names - set(new)):
        yield f"workers ended: {', '.join(ended)}"


def _versioned(place: Place) -> str:
    return f"{place.name} (version {place.version})" if place.version else place.name


def _plain(section: Any, secrets: Callable[[Any], str]) -> Any:  # noqa: ANN401 - any section
    """*section* as plain values; *secrets* gives what stands for a secret."""
    return msgspec.to_builtins(section, enc_hook=secrets)


def _flat(path: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any part of a configuration
    if not isinstance(value, dict):
        return {path: value}
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found.update(_flat(f"{path}.{name}", inner))
    return found
