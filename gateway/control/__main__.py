# SPDX-License-Identifier: Apache-2.0
"""The control process: ``python -m gateway.control --config FILE --runtime DIR --gateways N``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web

from gateway import logs
from gateway.config import load
from gateway.control.actions import Actions
from gateway.control.app import AdminApi
from gateway.control.cache_view import cache_view
from gateway.control.later import Later
from gateway.control.masking import shown
from gateway.control.operations import Operations
from gateway.control.publisher import Publisher
from gateway.control.watching import watch
from gateway.errors import ConfigError
from gateway.telemetry import CONTENT_TYPE, Board, Telemetry, report_process
from gateway.wire.generation import read_generation
from gateway.wire.listen import ListenError, listen
from gateway.wire.process import announce_ready, die_with_parent, inherited_socket
from gateway.wire.runtime import metrics_directory

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from gateway.control.quality import Quality

BAD_INPUT = 2


def main(arguments: Sequence[str]) -> int:
    """Serve the admin port until SIGTERM; gives the exit code, 2 for a file or port in the way."""
    parser = argparse.ArgumentParser(prog="python -m gateway.control")
    parser.add_argument("--config", required=True, help="the file that the operator edits")
    parser.add_argument("--runtime", required=True, type=Path, help="the runtime directory")
    parser.add_argument("--gateways", type=int, default=1, help="how many gateway processes")
    options = parser.parse_args(arguments)
    die_with_parent()
    try:
        generation = read_generation(options.runtime)
        config = load(generation.config, files=False)
        listening = inherited_socket("admin")
        if listening is None:
            (listening,) = listen(config.server.admin, key="server.admin")
    except (ConfigError, ListenError) as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    logs.setup(config.server.log_level, process="control", threaded=True)
    telemetry = Telemetry(config.models, process="control")
    report_process(telemetry, "control")
    board = Board.open(metrics_directory(options.runtime), telemetry)
    publisher = Publisher(generation, runtime=options.runtime, gateways=options.gateways)
    operations = Operations(
        options.config, config, publisher, runtime=options.runtime, telemetry=telemetry
    )

    def quality() -> Quality:
        from gateway.control import quality as loaded  # noqa: PLC0415 - see Later

        return loaded.Quality(
            operations, runtime=options.runtime, telemetry=telemetry, metrics=board.merged
        )

    later = Later(quality, operations)
    api = AdminApi(
        runtime=options.runtime,
        config=lambda: shown(operations.config),
        cache=lambda: cache_view(
            board.merged(),
            telemetry,
            [name for name, model in operations.config.models.items() if model.cache is not None],
        ),
        metrics=lambda: (board.collect(), CONTENT_TYPE),
        actions=Actions(operations),
    )
    app = api.application()
    later.add_to(app)
    work = (publisher.run, operations.run, partial(watch, operations), board.run, later.run)
    uvloop.run(serve(app, listening, operations, work))
    return 0


async def serve(
    app: web.Application,
    listening: socket.socket,
    operations: Operations,
    work: Iterable[Callable[[], Coroutine[None, None, None]]],
) -> None:
    """Answer on *listening* and do *work* until SIGTERM or SIGINT, then end within a second.

    SIGHUP asks for a reload.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, operations.ask_for_reload)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=75.0)
    await runner.setup()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(begin()) for begin in work]
            await web.SockSite(runner, listening).start()
            announce_ready()
            await stop.wait()
            for task in tasks:
                task.cancel()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
