# SPDX-License-Identifier: Apache-2.0
"""Generations: numbers that are part of every key, and grow where entries are to be found no more.

Nothing is searched for or removed by that: what nobody can ask for any more goes with its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Generations(Protocol):
    """How often what belongs to a model and a tenant was purged."""

    def of(self, model: str, tenant: str = "") -> int:
        """A number that is another one behind each purge of what *tenant* has of *model*."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call *callback* behind each change."""
        ...


class LocalGenerations:
    """The generations of one process; they begin anew with it, as its memory does."""

    def __init__(self) -> None:
        self._all = 0
        self._models: dict[str, int] = {}
        self._tenants: dict[str, int] = {}
        self._both: dict[tuple[str, str], int] = {}
        self._callbacks: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<LocalGenerations {self._all} {self._models} {len(self._tenants)} tenants>"

    def of(self, model: str, tenant: str = "") -> int:
        """See `Generations.of`."""
        return (
            self._all
            + self._models.get(model, 0)
            + self._tenants.get(tenant, 0)
            + self._both.get((model, tenant), 0)
        )

    def subscribe(self, callback: Callable[[], None]) -> None:
        """See `Generations.subscribe`."""
        self._callbacks.append(callback)

    def purge(self, model: str | None = None, tenant: str | None = None) -> None:
        """Let nobody find what *tenant* has of *model*; None stands for all of them."""
        if model is not None and tenant is not None:
            self._both[model, tenant] = self._both.get((model, tenant), 0) + 1
        elif model is not None:
            self._models[model] = self._models.get(model, 0) + 1
        elif tenant is not None:
            self._tenants[tenant] = self._tenants.get(tenant, 0) + 1
        else:
            self._all += 1
        for callback in self._callbacks:
            callback()
