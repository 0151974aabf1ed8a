# SPDX-License-Identifier: Apache-2.0
"""Promise: what a driven coroutine waits for, such as an answer that comes later.

As a future it differs from asyncio's in one thing: a driven coroutine goes on at once, on the stack
of whoever answers, where a task would be put off to the next turn of the loop. That turn, with its
system call, costs more than most of what is done in it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context

T = TypeVar("T")


class Promised(Generic[T]):
    """The behaviour of a promise; whoever inherits it has the fields of `Promise`.

    One may wait, once. *gone* is told when whoever waits is cancelled.
    """

    # No slots of its own: a struct brings its fields.
    if not TYPE_CHECKING:
        __slots__ = ()

    loop: asyncio.AbstractEventLoop
    gone: Callable[[Any], None] | None
    waits: bool
    response: T | None
    error: BaseException | None
    wake: Callable[[Any], object] | None
    _asyncio_future_blocking: bool

    def answer(self, response: T) -> None:
        """Hand *response* to whoever waits, if anybody."""
        if self.waits:
            self.waits = False
            self.response = response
            self._go_on()

    def fail(self, error: BaseException) -> None:
        """Raise *error* where the answer is awaited, if it is."""
        if self.waits:
            self.waits = False
            self.error = error
            self._go_on()

    def _go_on(self) -> None:
        wake = self.wake
        if wake is None:
            return
        # Forgotten first: it leads back to this promise, a circle that the collector, which does
        # not look into structs, would not find.
        self.wake = None
        try:
            wake(self)
        except Exception as error:  # noqa: BLE001 - as a loop does for each of its callbacks
            # The others in a batch must not go without their answers because of one waiter.
            self.loop.call_exception_handler({"message": f"waiter of {self}", "exception": error})

    # What asyncio asks of a future.

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the response; raises what `fail` was given."""
        if self.waits:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    def result(self) -> T:
        """The response; raises what `fail` was given, once."""
        if self.response is not None:
            return self.response
        error = self.error or asyncio.InvalidStateError("nobody has answered yet")
        self.error = None  # its traceback leads back here, too
        try:
            raise error
        finally:
            del error

    def done(self) -> bool:
        """Answered, failed or cancelled."""
        return not self.waits

    def cancelled(self) -> bool:
        """Whether whoever waited was cancelled."""
        return isinstance(self.error, asyncio.CancelledError)

    def exception(self) -> BaseException | None:
        """What `fail` was given and nobody has been told yet."""
        return self.error

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - asyncio's signature
        """Nobody wants the answer any more; False if it is there already."""
        if not self.waits:
            return False
        self.fail(asyncio.CancelledError())
        if self.gone is not None:
            self.gone(self)
        return True

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of whoever waits."""
        return self.loop

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """Call *callback* when done; a task, which has a *context*, not before the next turn."""
        if context is not None:
            callback = _NextTurn(self.loop, callback, context)
        if self.waits:
            self.wake = callback
        else:
            self.loop.call_soon(callback, self)


class Promise(msgspec.Struct, Promised[T], Generic[T], eq=False, gc=False):
    """An answer that comes later, and nothing besides; *id* is for whoever gives it."""

    loop: asyncio.AbstractEventLoop
    gone: Callable[[Any], None] | None = None
    id: int = 0
    waits: bool = True
    response: T | None = None
    error: BaseException | None = None
    wake: Callable[[Any], object] | None = None
    _asyncio_future_blocking: bool = False

    def __repr__(self) -> str:
        return f"<Promise {self.id} {'waits' if self.waits else 'done'}>"


class _NextTurn:
    """Calls *callback* in the next turn of *loop*."""

    __slots__ = ("_callback", "_context", "_loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        callback: Callable[[Any], object],
        context: Context,
    ) -> None:
        self._loop = loop
        self._callback = callback
        self._context = context

    def __call__(self, promise: object) -> None:
        self._loop.call_soon(self._callback, promise, context=self._context)
