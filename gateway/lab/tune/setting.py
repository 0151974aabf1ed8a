# SPDX-License-Identifier: Apache-2.0
"""Setting: one way to run a model, and Space: the ways there are on a machine."""

from __future__ import annotations

from itertools import product
from typing import Any, Final, Literal, TypeAlias

import msgspec

Precision: TypeAlias = str


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What is tuned; the defaults are those of the configuration.

    *replicas* worker processes run *instances* inferences at a time, each with *threads*.
    *precision* "fp32" is the model as it is. *cache* puts answers into memory.
    """

    precision: Precision = "fp32"
    replicas: int = 1
    threads: int = 1
    instances: int = 1
    max_rows: int = 64
    optimization: Literal["none", "basic", "extended", "all"] = "all"
    arena: bool = True
    spinning: bool = False
    max_concurrency: int | Literal["auto", "adaptive"] = "auto"
    cache: bool = False

    @property
    def busy(self) -> int:
        """Threads that compute at the same time."""
        return self.replicas * self.threads * self.instances

    def changed(self, other: Setting) -> list[str]:
        """The knobs that differ from *other*."""
        return [name for name in KNOBS if getattr(self, name) != getattr(other, name)]

    def put(self, **knobs: Any) -> Setting:  # noqa: ANN401 - as the fields
        """With other values."""
        return msgspec.structs.replace(self, **knobs)

    @property
    def name(self) -> str:
        """Short, for tables and charts: what differs from the defaults of the configuration."""
        differs = self.changed(Setting())
        return ", ".join(f"{each} {_word(getattr(self, each))}" for each in differs) or "defaults"


KNOBS: Final = Setting.__struct_fields__
# These are one knob: they share the cores.
LAYOUT: Final = ("replicas", "threads", "instances")


def _word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """What may be tried. *layouts* are (replicas, threads, instances) that fit the cores.

    The first value of each is where a search without any knowledge begins.
    """

    layouts: tuple[tuple[int, int, int], ...]
    precision: tuple[Precision, ...] = ("fp32",)
    max_rows: tuple[int, ...] = (64, 1, 8, 16, 32, 128, 256)
    optimization: tuple[str, ...] = ("all", "extended", "basic")
    arena: tuple[bool, ...] = (True, False)
    spinning: tuple[bool, ...] = (False, True)
    max_concurrency: tuple[int | str, ...] = ("auto", 1, 2, 4, "adaptive")
    cache: tuple[bool, ...] = (False,)

    @classmethod
    def on(cls, cores: int, **choices: Any) -> Space:  # noqa: ANN401 - the fields
        """For *cores* cores: every layout of powers of two that keeps no more than these busy."""
        powers = [1 << bit for bit in range(cores.bit_length()) if 1 << bit <= cores]
        layouts = [
            (replicas, threads, instances)
            for replicas, threads, instances in product(powers, powers, powers)
            if replicas * threads * instances <= cores
        ]
        if cores not in powers:
            layouts += [(cores, 1, 1), (1, cores, 1)]
        return cls(layouts=tuple(layouts), **choices)

    @property
    def size(self) -> int:
        """How many settings there are."""
        total = 1
        for values in self.choices().values():
            total *= len(values)
        return total

    def choices(self) -> dict[str, tuple[Any, ...]]:
        """The values of each dimension, by name; one dimension is the layout."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def setting(self, places: dict[str, int]) -> Setting:
        """The setting at the *places* of the values of each dimension."""
        picked = {name: values[places[name]] for name, values in self.choices().items()}
        replicas, threads, instances = picked.pop("layouts")
        return Setting(replicas=replicas, threads=threads, instances=instances, **picked)

    def places(self, setting: Setting) -> dict[str, int] | None:
        """The inverse of `setting`; None where it is not in the space."""
        found = {}
        for name, values in self.choices().items():
            value = (
                (setting.replicas, setting.threads, setting.instances)
                if name == "layouts"
                else getattr(setting, name)
            )
            at = [
                place
                for place, each in enumerate(values)
                if each == value and type(each) is type(value)
            ]
            if not at:
                return None
            found[name] = at[0]
        return found

    def including(self, setting: Setting) -> Space:
        """With the values of *setting*, so that the search may begin there."""
        changes: dict[str, Any] = {}
        for name, values in self.choices().items():
            value = (
                (setting.replicas, setting.threads, setting.instances)
                if name == "layouts"
                else getattr(setting, name)
            )
            if not any(each == value and type(each) is type(value) for each in values):
                changes[name] = (value, *values)
        return msgspec.structs.replace(self, **changes)

    def grid(self) -> list[Setting]:
        """All of them."""
        choices = self.choices()
        return [
            self.setting(dict(zip(choices, places, strict=True)))
            for places in product(*(range(len(values)) for values in choices.values()))
        ]

    def neighbours(self, setting: Setting) -> list[Setting]:
        """Those that differ in one dimension, in an order of their own."""
        here = self.places(setting)
        if here is None:
            return []
        return [
            self.setting(here | {name: place})
            for name, values in self.choices().items()
            for place in range(len(values))
            if place != here[name]
        ]

    def seeds(self, start: Setting) -> list[Setting]:
        """Where a search begins: at *start*, and where experience says that it may end.

        All cores for one inference, for many, and each other precision.
        """
        wide = max(self.layouts, key=lambda one: (one[0], -one[1] * one[2]))
        deep = max(self.layouts, key=lambda one: (one[1], -one[0] * one[2]))
        seeds = [start]
        for replicas, threads, instances in (wide, deep):
            seeds.append(start.put(replicas=replicas, threads=threads, instances=instances))
        seeds += [start.put(precision=one) for one in self.precision if one != start.precision]
        return [one for place, one in enumerate(seeds) if one not in seeds[:place]]
