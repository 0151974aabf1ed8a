# SPDX-License-Identifier: Apache-2.0
"""One worker from model to drain: load, warm up, listen, say ready, serve."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Protocol

import msgspec
import uvloop

from backends import address
from backends.address import Address
from backends.engine import Engine
from backends.repository import find_model
from backends.server import Server
from backends.session import Session, SessionOptions
from backends.warmup import warm_up
from gateway.wire.model import ModelInfo
from gateway.wire.process import READY_FD, announce_ready


class Options(Protocol):
    """What the command line says."""

    model: Path
    listen: str
    describe: bool
    name: str
    version: str
    batched: str
    threads: int
    inter_threads: int
    instances: int
    optimization: str
    providers: str
    arena: bool
    spinning: bool
    warmup: int
    warmup_data: Path | None
    grace: float
    busy_poll: float


def serve(options: Options) -> int:
    """Serve until a signal ends it; returns the exit code.

    Raises StartError for a model, option or address that cannot be served.
    """
    where = None if options.describe else address.parse_address(options.listen)
    file = find_model(options.model, version=options.version, name=options.name)
    session = Session(
        file.path,
        SessionOptions(
            threads=options.threads,
            inter_threads=options.inter_threads,
            optimization=options.optimization,
            providers=tuple(filter(None, options.providers.split(","))),
            arena=options.arena,
            spinning=options.spinning,
        ),
    )
    warm = warm_up(
        session,
        file,
        runs=options.warmup,
        data=options.warmup_data,
        batched={"auto": None, "yes": True, "no": False}[options.batched],
        parallelism=options.instances,
    )
    if file.labels and not warm.info.labels:
        sys.stderr.write(
            f"infergate worker: {options.model}: {len(file.labels)} labels fit no output, ignored\n"
        )
    if where is None:
        sys.stdout.buffer.write(msgspec.json.encode(warm.info))
        return 0
    engine = Engine(
        session, probe=warm.probe, batched=warm.info.batched, instances=options.instances
    )
    listener = address.listen(where)
    mine = address.identity(where)
    try:
        engine.start()
        _run(engine, warm.info, listener, address.bound(listener, where), options)
    finally:
        address.remove(where, mine)
    if not engine.stop(timeout=1.0):
        # A run that does not end would take the interpreter down while it unloads its libraries.
        sys.stderr.flush()
        os._exit(0)
    return 0


def _run(
    engine: Engine, info: ModelInfo, listener: socket.socket, where: Address, options: Options
) -> None:
    def on_ready() -> None:
        if READY_FD not in os.environ:
            # Nobody watches over this process but the one who typed the command.
            sys.stderr.write(f"infergate worker: {info.name} {info.version} serves on {where}\n")
            sys.stderr.flush()
        announce_ready()

    async def main() -> None:
        # Made here, since it takes its events from the running loop.
        server = Server(engine, info, listener, grace=options.grace, busy_poll=options.busy_poll)
        await server.run(on_ready)

    uvloop.run(main())
