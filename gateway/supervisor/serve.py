# SPDX-License-Identifier: Apache-2.0
"""Serve: from a configuration file to running processes, and the words for what happens."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway import logs
from gateway.config import load
from gateway.config.placement import placed
from gateway.errors import ConfigError
from gateway.supervisor.child import Child, Kind, Process
from gateway.supervisor.ear import Ear
from gateway.supervisor.loop import loop, signals
from gateway.supervisor.notify import notify
from gateway.supervisor.plan import children, worker_child
from gateway.supervisor.watch import BAD_INPUT, Phase, Watch
from gateway.telemetry import Board, Telemetry
from gateway.upstream import outstanding
from gateway.wire.generation import Generation, write_generation
from gateway.wire.listen import ListenError, address_of, listen
from gateway.wire.orders import Keep, Start, orders_directory, orders_socket
from gateway.wire.runtime import (
    config_copy,
    metrics_directory,
    outstanding_file,
    state_directory,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from gateway.wire.orders import Order

logger: Final = logging.getLogger(__name__)


def run(config_path: str, *, http: str | None = None, processes: int | None = None) -> int:
    """Serve what the file *config_path* says until a signal ends it; gives the exit code.

    *http* and *processes* take the place of ``server.http`` and ``server.processes``.
    0: ended cleanly. 1: something had to be killed, or never became ready. 2: bad input, which
    one line on stderr, or one for each fault of the file, has named.
    """
    started = monotonic()
    try:
        config = load(config_path)
    except ConfigError as error:
        for fault in error.faults:
            complain(fault)
        return BAD_INPUT
    server = config.server
    count = server.processes if processes is None else processes
    if count < 1:
        complain(f"infergate: --processes {count}: at least one gateway process is needed")
        return BAD_INPUT
    logs.setup(server.log_level, process="supervisor")
    with ExitStack() as stack:
        try:
            data_port = listen(http or server.http, key="server.http", count=count)
            stack.callback(close, data_port)
            (admin_port,) = listen(server.admin, key="server.admin")
            stack.callback(close, [admin_port])
            runtime = stack.enter_context(runtime_directory())
            # A process that is started again runs what the others run, not what is being edited.
            copy = shutil.copyfile(config_path, config_copy(runtime, 1))
            first = Generation(1, str(copy), placed(config))
            write_generation(runtime, first)
            if count > 1:
                outstanding.create(outstanding_file(runtime), count)
        except ListenError as error:
            complain(f"infergate: {error}")
            return BAD_INPUT
        except OSError as error:
            where = error.filename or "runtime directory"
            complain(f"infergate: {where}: {error.strerror}; set TMPDIR to a directory to write to")
            return BAD_INPUT
        plan = children(
            config,
            first.places,
            config_path=str(Path(config_path).absolute()),
            runtime=str(runtime),
            http=[each.fileno() for each in data_port],
            admin=admin_port.fileno(),
            environment=os.environ,
        )
        reports = Announcer(
            plan,
            started=started,
            data_port=data_port,
            admin=address_of(admin_port),
            models=len(config.models),
            metrics=metrics_directory(runtime),
            counts=outstanding_file(runtime),
        )
        arriving = stack.enter_context(signals())
        watch = Watch([Process(child) for child in plan], reports, grace=server.grace)
        ear = Ear(orders_socket(runtime, "supervisor"), Foreman(watch, str(runtime)))
        return loop(watch, arriving, ear)


class Foreman:
    """Carries out the orders of the control process among the processes of *watch*."""

    def __init__(self, watch: Watch, runtime: str) -> None:
        self._watch = watch
        self._runtime = runtime

    def __repr__(self) -> str:
        return f"<Foreman {self._watch.workforce!r}>"

    def __call__(self, order: Order, answer: Callable[[tuple[str, ...]], None]) -> None:
        """Begin what *order* says, and *answer* with its faults once it is done."""
        if isinstance(order, Keep):
            self._watch.workforce.keep(set(order.names), answer)
        elif not isinstance(order, Start):
            answer((f"the supervisor does not know {type(order).__name__}",))
        elif self._watch.phase is not Phase.SERVING:
            answer((f"no worker is started while all is {self._watch.phase.name.lower()}",))
        else:
            try:
                config = load(order.generation.config, files=False)
            except ConfigError as error:
                answer(tuple(error.faults))
                return
            self._watch.workforce.start(
                [
                    worker_child(config, place, runtime=self._runtime, environment=os.environ)
                    for place in order.generation.places
                ],
                answer,
            )


def complain(message: str) -> None:
    """Write one line for a person to read on stderr."""
    with suppress(OSError):
        sys.stderr.write(message + "\n")
        sys.stderr.flush()


def close(sockets: Sequence[socket.socket]) -> None:
    """Close each of *sockets*; twice does no harm."""
    for each in sockets:
        each.close()


@contextmanager
def runtime_directory() -> Iterator[Path]:
    """A directory for the sockets and files of this run, for this user alone; removed at the end.

    It is made where systemd gives one (``RuntimeDirectory=``), else among the temporary files.
    """
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    path = Path(tempfile.mkdtemp(prefix="infergate-", dir=given or None))
    try:
        metrics_directory(path).mkdir()
        state_directory(path).mkdir()
        orders_directory(path).mkdir()
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Announcer:
    """Tells operators, the log, the metrics and systemd what becomes of the processes."""

    def __init__(
        self,
        plan: Sequence[Child],
        *,
        started: float,
        data_port: Sequence[socket.socket],
        admin: str,
        models: int,
        metrics: Path,
        counts: Path,
    ) -> None:
        self._started = started
        self._data_port = data_port
        self._http = address_of(data_port[0])
        self._admin = admin
        self._models = models
        self._workers = sum(child.kind is Kind.WORKER for child in plan)
        self._counts = counts
        self._gateways = [child.name for child in plan if child.kind is Kind.GATEWAY]
        self._telemetry = Telemetry(process="supervisor")
        self._board = Board(metrics, self._telemetry)

    def ready(self) -> None:
        """One line on stdout, once, with where to send requests."""
        with suppress(OSError):
            sys.stdout.write(
                f"infergate: ready on http://{self._http} (admin http://{self._admin}), "
                f"{counted(self._models, 'model')}, {counted(self._workers, 'worker')}, "
                f"in {monotonic() - self._started:.1f} s\n"
            )
            sys.stdout.flush()
        notify("READY=1")

    def restarting(self, child: Child, why: str, seconds: float) -> None:
        """Count it, and log it once it is counted."""
        self._telemetry.worker_restarts.cell(child.name, why).value += 1
        try:
            self._board.publish()
        except OSError as error:
            logger.warning("restart not counted", extra={"worker": child.name, "error": str(error)})
        logger.warning(
            "a process ended and is started again",
            extra={"worker": child.name, "reason": why, "after_seconds": seconds},
        )

    def ended(self, child: Child) -> None:
        """Take out of the common counts what a gateway process had pending."""
        if child.name in self._gateways and len(self._gateways) > 1:
            with suppress(OSError, ValueError):
                outstanding.forget(self._counts, self._gateways.index(child.name))

    def stopping(self) -> None:
        """Leave the data port to the gateways, so that it closes when they close it."""
        notify("STOPPING=1")
        close(self._data_port)

    def fault(self, message: str) -> None:
        """One line on stderr."""
        complain(f"infergate: {message}")


def counted(count: int, noun: str) -> str:
    """``1 model``, ``2 models``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
