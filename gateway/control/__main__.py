# SPDX-License-Identifier: Apache-2.0
"""The control process: ``python -m gateway.control --config FILE --runtime DIR``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web

from gateway import logs
from gateway.config import load
from gateway.control.app import AdminApi
from gateway.control.masking import shown
from gateway.errors import ConfigError
from gateway.telemetry import CONTENT_TYPE, Board, Telemetry, report_process
from gateway.wire.listen import ListenError, listen
from gateway.wire.process import announce_ready, die_with_parent, inherited_socket
from gateway.wire.runtime import metrics_directory

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

BAD_INPUT = 2


def main(arguments: Sequence[str]) -> int:
    """Serve the admin port until SIGTERM; gives the exit code, 2 for a file or port in the way."""
    parser = argparse.ArgumentParser(prog="python -m gateway.control")
    parser.add_argument("--config", required=True, help="the configuration file")
    parser.add_argument("--runtime", required=True, type=Path, help="the runtime directory")
    options = parser.parse_args(arguments)
    die_with_parent()
    try:
        config = load(options.config)
        listening = inherited_socket("admin")
        if listening is None:
            (listening,) = listen(config.server.admin, key="server.admin")
    except (ConfigError, ListenError) as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    logs.setup(config.server.log_level, process="control")
    telemetry = Telemetry(config.models, process="control")
    report_process(telemetry, "control")
    board = Board.open(metrics_directory(options.runtime), telemetry)
    api = AdminApi(
        runtime=options.runtime,
        config=shown(config),
        metrics=lambda: (board.collect(), CONTENT_TYPE),
    )
    uvloop.run(serve(api.application(), listening))
    return 0


async def serve(app: web.Application, listening: socket.socket) -> None:
    """Answer on *listening* until SIGTERM or SIGINT, then end what is under way within a second."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=75.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        announce_ready()
        await stop.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
