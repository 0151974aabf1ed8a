# SPDX-License-Identifier: Apache-2.0
"""The supervisor's loop: signals, orders, ready pipes and ended processes come in, `Watch` decides.

It sleeps until one of them or the next due instant; nothing is polled.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from gateway.supervisor.child import Process
    from gateway.supervisor.ear import Source
    from gateway.supervisor.watch import Watch

HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@contextmanager
def signals() -> Iterator[socket.socket]:
    """A socket on which the numbers of arriving signals can be read, one byte each.

    The handlers before are put back at the end.
    """
    reader, writer = socket.socketpair()
    reader.settimeout(0)
    writer.settimeout(0)
    before = {number: signal.signal(number, _noted) for number in HANDLED}
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


def _noted(number: int, frame: FrameType | None) -> None:
    """Take the place of the default action; the wakeup socket carries the signal."""


def loop(watch: Watch, arriving: socket.socket, ear: Source | None = None) -> int:
    """Run *watch* from its first start to its end; gives its exit code.

    *arriving* is what `signals` gives, *ear* where orders come in. Must run in the main thread,
    which the children's parent-death signal is tied to. Reaps any child, also one that was left to
    this process because it is the first of a container.
    """
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        selector.register(arriving, selectors.EVENT_READ)
        if ear is not None:
            selector.register(ear, selectors.EVENT_READ, _Listener(ear, selector, stack))
        watched: dict[int, Process] = {}
        watch.begin()
        while watch.code is None:
            _follow(selector, watched, watch)
            due = watch.due()
            timeout = None if due is None else max(0.0, due - monotonic())
            numbers = b""
            for key, _ in selector.select(timeout):
                if key.data is None:
                    numbers = arriving.recv(4096)
                elif isinstance(key.data, _Listener):
                    key.data.read()
                else:
                    # Unregistered first: the descriptor is closed by reading it.
                    selector.unregister(key.fd)
                    process = watched.pop(key.fd)
                    if process.read_ready():
                        watch.became_ready()
            for number in numbers:
                if number in {signal.SIGTERM, signal.SIGINT}:
                    watch.drain()
                elif number == signal.SIGHUP:
                    watch.reload()
            _reap(selector, watched, watch)
            watch.tick()
    return watch.code


class _Listener:
    """One source of orders in the selector."""

    def __init__(self, source: Source, selector: selectors.BaseSelector, stack: ExitStack) -> None:
        self._source = source
        self._selector = selector
        self._stack = stack
        stack.callback(source.end)

    def read(self) -> None:
        """Take what has come, and listen to whoever came."""
        for source in self._source.readable():
            listener = _Listener(source, self._selector, self._stack)
            self._selector.register(source, selectors.EVENT_READ, listener)
        if self._source.closed:
            self._selector.unregister(self._source)
            self._source.end()


def _follow(selector: selectors.BaseSelector, watched: dict[int, Process], watch: Watch) -> None:
    """Listen to the ready pipes of the processes that were started since."""
    for process in watch.processes:
        if process.ready_fd >= 0 and process.ready_fd not in watched:
            selector.register(process.ready_fd, selectors.EVENT_READ, process)
            watched[process.ready_fd] = process


def _reap(selector: selectors.BaseSelector, watched: dict[int, Process], watch: Watch) -> None:
    by_pid = {process.pid: process for process in watch.processes if process.pid}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        process = by_pid.get(pid)
        if process is None:
            continue
        if process.ready_fd in watched:
            selector.unregister(process.ready_fd)
            del watched[process.ready_fd]
        watch.ended(process, status)
