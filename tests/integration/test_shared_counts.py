# SPDX-License-Identifier: Apache-2.0
"""Two gateway processes count what is outstanding together, until one of them is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.http import PATIENCE
from tests.support.scripted_worker import ScriptedWorker
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e

# Two processes that are hashed to by the kernel: with so many connections each has some.
CLIENTS = 32
BODY = json.dumps(
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}
).encode()
REQUEST = (
    b"POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


def config(worker: ScriptedWorker, processes: int) -> str:
    """A model with one worker, which is probed once an hour."""
    return f"""
    server: {{http: '127.0.0.1:0', admin: '127.0.0.1:0', processes: {processes}, grace: 0s}}
    models:
      m:
        backends: [{{address: '{worker.address}'}}]
        health: {{interval: 1h}}
    """


def counted(serving: Serving) -> list[int]:
    """The requests that each process has pending, as the file in the runtime directory says."""
    (path,) = serving.temporary.glob("infergate-*/outstanding")
    data = path.read_bytes()
    _, processes, columns = struct.unpack_from("=3q", data)
    numbers = struct.unpack_from(f"={columns * processes * 3}q", data, 24 + columns * 16)
    return [sum(numbers[process * 3 + 1 :: processes * 3]) for process in range(processes)]


def children(pid: int) -> list[str]:
    """The pids of what a process has started."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def gateways(serving: Serving) -> list[int]:
    """The pids of the gateway processes, by index."""
    found = {}
    for child in children(serving.process.pid):
        argv = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        if "gateway.process" in argv:
            found[argv[argv.index("--index") + 1]] = int(child)
    return [found[index] for index in sorted(found)]


def descriptors(pid: int) -> list[str]:
    """What a process has open, by name."""
    names = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    return names


async def test_a_killed_process_has_nothing_outstanding(tmp_path: Path) -> None:
    """Its requests are taken out of the count; those of the other stay in it."""
    async with ScriptedWorker() as worker, asyncio.timeout(PATIENCE):
        with Serving(tmp_path, config(worker, 2)) as serving, ExitStack() as stack:
            await asyncio.to_thread(serving.ready)
            assert counted(serving) == [0, 0]
            host, _, port = serving.http.rpartition(":")
            for _ in range(CLIENTS):
                _, writer = await asyncio.open_connection(host, int(port))
                stack.callback(writer.close)
                writer.write(REQUEST)
            # Each process has a slot of its own, whatever the other has taken.
            asked: dict[object, int] = {}
            while len(asked) < 2:
                received = await worker.requests.get()
                asked[received.connection] = asked.get(received.connection, 0) + 1
            assert min(counted(serving)) >= 1
            assert sum(counted(serving)) <= 3  # the cap of two, and one that came first
            for pid in gateways(serving):
                assert not [name for name in descriptors(pid) if "outstanding" in name]
                assert children(pid) == []

            os.kill(gateways(serving)[0], signal.SIGKILL)
            line = await asyncio.to_thread(serving.logs, "a process ended and is started again")
            assert "gateway-0" in line
            dead, alive = counted(serving)
            assert (dead, alive >= 1) == (0, True)


async def test_one_process_has_nobody_to_count_with(tmp_path: Path) -> None:
    """There is no file, and so nothing to pay for."""
    async with ScriptedWorker() as worker, asyncio.timeout(PATIENCE):
        with Serving(tmp_path, config(worker, 1)) as serving:
            await asyncio.to_thread(serving.ready)
            assert list(serving.temporary.glob("infergate-*/outstanding")) == []
