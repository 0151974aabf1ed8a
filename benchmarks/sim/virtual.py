# SPDX-License-Identifier: Apache-2.0
"""Virtual time: an event loop whose clock jumps to the next timer, and code that goes by it."""

import asyncio
import importlib
import selectors
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# What the gateway reads the time with, by module. There it is a global and not an option, as each
# request reads it several times and an attribute would cost more; here it is replaced.
CLOCKED = (
    "gateway.stages.batch",
    "gateway.stages.flight",
    "gateway.stages.merge",
    "gateway.stages.retry",
    "gateway.upstream.endpoint",
)
# Workers are one event and queues are many callbacks; the loop need not look for sockets.
_NOTHING: list[tuple[selectors.SelectorKey, int]] = []


class StuckError(RuntimeError):
    """Everything waits, and no timer would end that."""


class _Jumping(selectors.BaseSelector):
    """Waits for nobody: the time of a wait has passed at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401 - the seam's
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401 - the seam's
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError("everything waits, and no timer would end that")
        if timeout > 0:
            self.now += timeout
        return _NOTHING


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in which an hour passes at once, for code that waits for nothing but timers."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """The virtual instant in seconds."""
        return self._jumping.now


@contextmanager
def clocked(clock: Callable[[], float]) -> Iterator[None]:
    """Have the gateway's queue, retries and endpoints go by *clock* in the meantime."""
    modules = [importlib.import_module(name) for name in CLOCKED]
    before = [module.perf_counter for module in modules]
    for module in modules:
        module.perf_counter = clock  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module, real in zip(modules, before, strict=True):
            module.perf_counter = real  # type: ignore[attr-defined]
