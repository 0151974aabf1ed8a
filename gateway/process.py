# SPDX-License-Identifier: Apache-2.0
"""The gateway process: ``python -m gateway.process --runtime DIR --index I``.

It accepts on the data port, runs the pipeline, and drains on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

import msgspec
import uvloop

from gateway import logs
from gateway.access_log import AccessLog
from gateway.config import load
from gateway.ear import Ear
from gateway.edge.app import make_server
from gateway.edge.connection import DataServer
from gateway.edge.labels import Labels
from gateway.edge.lane import Lane
from gateway.errors import ConfigError
from gateway.report import Gauges, states
from gateway.serving import Gateway
from gateway.stages.overload import Lag, process_guard
from gateway.telemetry import Board, Telemetry, report_process, sample_loop_lag, usage
from gateway.upstream.outstanding import Outstanding
from gateway.wire.busy_poll import BusyPoll
from gateway.wire.generation import read_generation
from gateway.wire.listen import BACKLOG, ListenError, address_of, let_nobody_in, listen
from gateway.wire.orders import orders_socket
from gateway.wire.probe import probe_token
from gateway.wire.process import announce_ready, die_with_parent, inherited_socket
from gateway.wire.runtime import labels_socket, metrics_directory, outstanding_file, state_file

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import Any

    from gateway.config import Config
    from gateway.exchange import Answer, Exchange
    from gateway.wire.generation import Generation

log = logging.getLogger(__name__)

BAD_INPUT: Final = 2
# After SIGTERM new connections are still taken for this long: a client that was sending, or a
# balancer that has not noticed, gets its answer, with "Connection: close", instead of a reset.
LAST_CALL: Final = 1.0
LAST_WORD: Final = 0.25
# Clients of a gateway that is started anew wait in the socket's queue until its models are up,
# but no longer than this many seconds: one model that is down must not keep the others away.
FIRST_CALL: Final = 3.0
# The request path leaves no circles behind, so that the collector has little to find; it still
# looks, for what libraries leave.
_GC_THRESHOLD: Final = (20_000, 50, 50)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; gives the exit code, 2 where configuration or port is at fault."""
    parser = argparse.ArgumentParser(prog="python -m gateway.process")
    parser.add_argument("--runtime", required=True, type=Path, help="the runtime directory")
    parser.add_argument("--index", type=int, default=0, help="which of the gateway processes")
    options = parser.parse_args(arguments)
    die_with_parent()
    name = f"gateway-{options.index}"
    try:
        generation = read_generation(options.runtime)
        # Whoever put it there has looked at the models' files, and they may be going by now.
        config = load(generation.config, files=False)
        listening = inherited_socket("http")
        if listening is None:
            (listening,) = listen(config.server.http, key="server.http")
        logs.setup(config.server.log_level, process=name, threaded=True)
        process = GatewayProcess(
            config, generation, listening, runtime=options.runtime, index=options.index
        )
        uvloop.run(process.serve())
    except (ConfigError, ListenError) as error:
        for fault in getattr(error, "faults", None) or [str(error)]:
            sys.stderr.write(f"infergate: {fault}\n")
        return BAD_INPUT
    return 0


class GatewayProcess:
    """One gateway process on its event loop."""

    def __init__(
        self,
        config: Config,
        generation: Generation,
        listening: socket.socket,
        *,
        runtime: Path,
        index: int,
    ) -> None:
        name = f"gateway-{index}"
        self._config = config
        self._listening = listening
        self._state_file = state_file(runtime, index)
        self._telemetry = telemetry = Telemetry(config.models, process=name)
        report_process(telemetry, name)
        log_options = config.server.access_log
        self._access_log = AccessLog(
            telemetry=telemetry, sample=log_options.sample, errors=log_options.errors
        )
        self._board = Board.open(metrics_directory(runtime), telemetry)
        outstanding = _outstanding(outstanding_file(runtime), index)
        self._gateway = Gateway(
            config,
            generation,
            runtime=runtime,
            telemetry=telemetry,
            access_log=self._access_log,
            outstanding=outstanding,
            probe_token=probe_token(runtime),
        )
        telemetry.on_collect(Gauges(self._gateway, telemetry).fill)
        self._ear = Ear(self._gateway, orders_socket(runtime, name), committed=self._committed)
        self._descriptors = usage.descriptor_limit()
        self._lag = Lag()
        self._guard = process_guard(
            config.server.overload,
            self._gateway.gate,
            telemetry=telemetry,
            lag=self._lag,
            descriptors=self._descriptors,
            # What was started, which the command line may have said.
            processes=1 if outstanding is None else outstanding.processes,
        )
        self._labels = Labels(labels_socket(runtime), takes=lambda: self._gateway.takes_labels)
        self._stop = asyncio.Event()

    def __repr__(self) -> str:
        return f"<GatewayProcess {self._gateway!r}>"

    async def serve(self) -> None:
        """Serve until a signal; raises ConfigError where a model does not fit its steps."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        server, limits = self._config.server, self._config.server.limits
        telemetry, gate = self._telemetry, self._gateway.gate
        most = limits.connections
        fallback = make_server(
            self._gateway.service,
            self._gateway.models,
            metrics=self._board.scrape,
            preview=self._gateway.preview,
            max_body=limits.body,
            header_timeout=limits.header_timeout,
            body_timeout=limits.body_timeout,
            answer_timeout=limits.answer_timeout,
            idle_timeout=limits.idle_timeout,
            gate=gate,
            labels=self._labels,
            tenant_header=server.tenant_header,
            refused=self._count_refused,
            slow=self._count_slow,
        )
        lane = Lane(
            self._gateway.service,
            fallback=fallback,
            max_body=limits.body,
            header_timeout=limits.header_timeout,
            body_timeout=limits.body_timeout,
            answer_timeout=limits.answer_timeout,
            idle_timeout=limits.idle_timeout,
            max_connections=(usage.connection_cap(self._descriptors) if most == "auto" else most),
            others=lambda: len(fallback.connections),
            gate=gate,
            refused=self._count_refused,
            slow=self._count_slow,
            turned_away=self._count_turned_away,
            busy_poll=BusyPoll(loop, server.busy_poll) if server.busy_poll else None,
        )
        connections = telemetry.client_connections.cell()

        def count_connections() -> None:
            connections.value = len(lane.connections) + len(fallback.connections)

        telemetry.on_collect(count_connections)
        async with AsyncExitStack() as stack:
            stack.callback(self._access_log.close)
            stack.callback(self._labels.close)
            for work in (
                self._gateway.run(),
                self._board.run(),
                self._publish_state(),
                sample_loop_lag(telemetry.loop_lag_seconds.cell(), also=self._lagged),
                self._guard.run(),
                lane.sweep(),
                self._ear.run(),
            ):
                stack.push_async_callback(_end, loop.create_task(work))
            up = loop.create_task(self._gateway.came_up())
            stack.push_async_callback(_end, up)
            stopped = loop.create_task(self._stop.wait())
            stack.push_async_callback(_end, stopped)
            await asyncio.wait(
                (up, stopped), timeout=FIRST_CALL, return_when=asyncio.FIRST_COMPLETED
            )
            accepting = await loop.create_server(lane, sock=self._listening, backlog=BACKLOG)
            stack.callback(accepting.close)
            await self._announce_when_up(up, stopped)
            await stopped
            await self._drain(accepting, lane, fallback, server.grace)

    def _lagged(self, seconds: float) -> None:
        """A timer was late by so much, which it is several times a second."""
        self._lag.observe(seconds)
        self._telemetry.settle()

    @staticmethod
    async def _announce_when_up(up: asyncio.Task[None], stopped: asyncio.Task[Any]) -> None:
        """Say ready once all models are *up*; a signal or a fault ends the wait."""
        await asyncio.wait((up, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            return
        up.result()
        # What lives now lives on; the collector need not look at it ever again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLD)
        announce_ready()

    async def _drain(
        self, accepting: asyncio.Server, lane: Lane, fallback: DataServer, grace: float
    ) -> None:
        """Answer what is here and what still comes in, then nothing; *grace* bounds it."""
        until = perf_counter() + grace
        self._gateway.gate.drain()
        log.info("draining, %d requests in progress", self._gateway.gate.inside)
        await asyncio.sleep(min(LAST_CALL, grace))
        let_nobody_in(self._listening)
        # Who has just connected is accepted meanwhile, and has a request on the way.
        await asyncio.sleep(min(LAST_WORD, grace))
        accepting.close()
        lane.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - perf_counter())):
                await self._gateway.gate.wait_empty()
                await lane.closed()
        await self._gateway.sampler.handover.finish(max(0.0, min(0.5, until - perf_counter())))
        self._gateway.gate.closed = True
        left = self._gateway.gate.inside
        await fallback.shutdown(timeout=max(0.0, min(1.0, until - perf_counter())))
        log.info("drained, %d requests cut off", left)

    async def _publish_state(self) -> None:
        """Write what this process knows of its endpoints, once a second."""
        while True:
            self._write_state()
            await asyncio.sleep(1.0)

    def _write_state(self) -> None:
        draft = self._state_file.with_suffix(".draft")
        try:
            draft.write_bytes(
                msgspec.msgpack.encode(states(self._gateway, http=address_of(self._listening)))
            )
            draft.replace(self._state_file)
        except OSError as error:
            log.warning("state not written to %s: %s", self._state_file, error)

    def _count_refused(self, exchange: Exchange, answer: Answer) -> None:
        """An inference call was answered before it reached the stages that count."""
        cell = self._telemetry.requests.cell(
            exchange.model, exchange.codec.protocol, str(answer.status)
        )
        cell.value += 1

    def _committed(self) -> None:
        """Another generation is served: follow it in what is no model."""
        logs.set_level(self._gateway.config.server.log_level)
        # Who has just changed something looks at once whether it has come into effect.
        self._write_state()
        log.info("generation %d is served", self._gateway.generation.number)

    def _count_slow(self, phase: str) -> None:
        self._telemetry.slow_clients.cell(phase).value += 1

    def _count_turned_away(self) -> None:
        self._telemetry.connections_refused.cell().value += 1


def _outstanding(path: Path, index: int) -> Outstanding | None:
    """Where this process counts together with others, if it has any."""
    if not path.exists():
        return None
    try:
        return Outstanding(path, index)
    except (OSError, ValueError) as error:
        log.warning("outstanding requests are counted by each process alone: %s", error)
        return None


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
