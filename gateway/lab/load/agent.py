# SPDX-License-Identifier: Apache-2.0
"""Agent: generates load on this host for a coordinator on another one.

It listens, and for every coordinator that proves to know the secret it starts a process that
generates its share, with the connection as its own: the agent itself is never in the way.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.lab import LabError
from gateway.lab.load.fleet import share_command
from gateway.lab.load.greeting import receive
from gateway.units import host_of, parse_worker_address

if TYPE_CHECKING:
    from collections.abc import Iterator

# A coordinator introduces itself within this, in seconds.
_GREETING: Final = 5.0
# So many may be introducing themselves at a time.
_MOST_GREETING: Final = 16
_PROCESSES_PER_CORE: Final = 2
# A process whose coordinator is gone ends within this, in seconds.
_PATIENCE: Final = 5.0


class Agent:
    """Serves coordinators on *listener*; at most *processes* at a time."""

    def __init__(self, listener: socket.socket, *, secret: str, processes: int) -> None:
        self._listener = listener
        self._secret = secret
        self._most = processes
        self._greeting = threading.BoundedSemaphore(_MOST_GREETING)
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopped = threading.Event()

    def __repr__(self) -> str:
        return f"<Agent {self._listener.getsockname()}, {len(self._running)} processes>"

    def serve(self, ended: socket.socket) -> None:
        """Until there is something to read from *ended*."""
        self._listener.settimeout(0)
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if ended in ready:
                    return
                with contextlib.suppress(OSError):
                    # One that is gone before it was taken is no fault.
                    self._welcome(self._listener.accept()[0])

    def _welcome(self, connection: socket.socket) -> None:
        if self._greeting.acquire(blocking=False):
            threading.Thread(target=self._greet, args=(connection,), daemon=True).start()
        else:
            connection.close()

    def stop(self) -> None:
        """Take no more, and end all processes."""
        self._stopped.set()
        with self._lock:
            running = list(self._running)
        for process in running:
            process.terminate()
        until = monotonic() + _PATIENCE
        for process in running:
            try:
                process.wait(max(0.0, until - monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _greet(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(_GREETING)
                answer = receive(connection, self._secret)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # A coordinator whose host is gone says nothing: the kernel notices.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                connection.settimeout(None)
                # The process says nothing before it is spoken to, which follows the answer.
                if self._start_if_room(connection):
                    connection.sendall(answer)
            except OSError:
                return
            finally:
                self._greeting.release()

    def _start_if_room(self, connection: socket.socket) -> bool:
        with self._lock:
            self._running = [one for one in self._running if one.poll() is None]
            if self._stopped.is_set() or len(self._running) >= self._most:
                return False
            self._running.append(self._start(connection))
            return True

    @staticmethod
    def _start(connection: socket.socket) -> subprocess.Popen[bytes]:
        command, environment = share_command(connection.fileno())
        return subprocess.Popen(
            command, env=environment, pass_fds=(connection.fileno(),),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that something is to be read from when a signal asks to end.

    A handler runs in the middle of anything, also of the start of a thread: it does nothing itself.
    """
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    numbers = (signal.SIGTERM, signal.SIGINT)
    with ours, theirs:
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        wakeup = signal.set_wakeup_fd(theirs.fileno())
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)


def run(listen: str, *, secret: str = "", processes: int = 0) -> int:
    """Serve at *listen*, ``tcp:HOST:PORT``, until SIGTERM or SIGINT; port 0 takes a free one.

    Returns 0, or 2 after one line on stderr.
    """
    try:
        listener = _listener(listen, secret)
    except LabError as error:
        print(f"infergate bench-agent: {error}", file=sys.stderr)
        return 2
    most = processes or _PROCESSES_PER_CORE * len(os.sched_getaffinity(0))
    with listener:
        host, port = listener.getsockname()[:2]
        agent = Agent(listener, secret=secret, processes=most)
        with _signals() as ended:
            print(f"infergate bench-agent: ready on {host}:{port}", flush=True)
            agent.serve(ended)
            agent.stop()
    return 0


def _listener(listen: str, secret: str) -> socket.socket:
    try:
        host, port = host_of(listen if listen.endswith(":0") else parse_worker_address(listen))
    except ValueError as error:
        raise LabError(f"--listen: {error}") from None
    if not listen.startswith("tcp:"):
        raise LabError(f"--listen: expected tcp:HOST:PORT, got '{listen}'")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        family, address = found[0], found[4]
        if not secret and not ip_address(str(address[0])).is_loopback:
            raise LabError(
                f"--listen {listen}: beyond loopback an agent needs a secret, in --secret-file or "
                "INFERGATE_BENCH_SECRET"
            )
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise LabError(f"--listen {listen}: {error.strerror}") from None
