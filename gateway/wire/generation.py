# SPDX-License-Identifier: Apache-2.0
"""Generation: what is to run, as one immutable value that all processes agree on by its number.

It names the configuration in effect, the worker processes that this asks for, and what operators
have changed since. It lies in the runtime directory, replaced as a whole, so that a process that
is started anew begins where the others are, whoever else is dead at that time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class Place(msgspec.Struct, frozen=True):
    """One worker process: the *number*-th of *model*, for the backend of that index.

    *version* is the one that it serves, *file* the model file as it was found on disk, *recipe*
    a digest of everything that it is started with: a place whose recipe is the same need not be
    started anew.
    """

    model: str
    number: int
    backend: int
    version: str
    file: str
    recipe: str

    @property
    def name(self) -> str:
        """The name of the process and of its endpoint."""
        return f"{self.model}-{self.number}"


class Setting(msgspec.Struct, frozen=True):
    """What operators have said of one endpoint; *weight* None leaves it to the configuration.

    *wrong*: what probes have said of it, that it gives wrong answers.
    """

    drained: bool = False
    weight: float | None = None
    wrong: bool = False


class Rollout(msgspec.Struct, frozen=True):
    """How far *candidate* has come in the place of a model: it answers *share* of its requests.

    *began* and *since* are seconds since the epoch: its evidence counts from *began* on, and the
    share is what it is from *since* on. *state* is ``running``; ``promoted``, when it answers all
    and is watched beside the model of before; or ``rolled back``, when it answers nothing until a
    person or another file begins anew. *held*: nothing changes but by hand. *digest* is that of the
    candidate's file that the evidence is about, "" for any: another file answers no live request.
    *beside* is that of the model's own file. *reason* says in a sentence why the share is what it
    is.
    """

    candidate: str
    share: float = 0.0
    began: float = 0.0
    since: float = 0.0
    state: Literal["running", "promoted", "rolled back"] = "running"
    held: bool = False
    digest: str = ""
    beside: str = ""
    reason: str = ""


class Generation(msgspec.Struct, frozen=True):
    """One state of the whole; the greater *number* is the newer.

    *config* is the path of a copy of the configuration file, *settings* are by endpoint, *rollouts*
    by model. *shadows* are shares by model and shadow, where operators have said another one than
    the configuration.
    """

    number: int
    config: str
    places: tuple[Place, ...] = ()
    settings: dict[str, Setting] = {}
    rollouts: dict[str, Rollout] = {}
    shadows: dict[str, dict[str, float]] = {}

    def of(self, model: str) -> tuple[Place, ...]:
        """The workers of *model*, in the order of their numbers."""
        return tuple(
            sorted(
                (place for place in self.places if place.model == model),
                key=lambda place: place.number,
            )
        )

    def names(self) -> set[str]:
        """The names of all workers."""
        return {place.name for place in self.places}

    def setting(self, endpoint: str) -> Setting:
        """What operators have said of *endpoint*."""
        return self.settings.get(endpoint, UNSET)

    def kept(self, endpoints: Iterable[str]) -> dict[str, Setting]:
        """The settings of those *endpoints* that have one."""
        return {name: self.settings[name] for name in endpoints if name in self.settings}


UNSET = Setting()

_decoder = msgspec.msgpack.Decoder(Generation)


def generation_file(runtime: str | Path) -> Path:
    """Where the generation in effect lies."""
    return Path(runtime) / "generation.msgpack"


def read_generation(runtime: str | Path) -> Generation:
    """The generation in effect; raises OSError or msgspec.DecodeError where there is none."""
    return _decoder.decode(generation_file(runtime).read_bytes())


def write_generation(runtime: str | Path, generation: Generation) -> None:
    """Put *generation* into effect for whoever starts from now on; raises OSError."""
    path = generation_file(runtime)
    draft = path.with_suffix(".draft")
    draft.write_bytes(msgspec.msgpack.encode(generation))
    draft.replace(path)
