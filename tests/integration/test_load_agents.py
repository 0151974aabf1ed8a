# SPDX-License-Identifier: Apache-2.0
"""Load that is generated elsewhere, by agents that know a secret."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.lab import LabError
from gateway.lab.load.agent import run as run_agent
from gateway.lab.load.fleet import Fleet
from gateway.lab.load.greeting import HELLO, Stranger, introduce
from gateway.lab.load.measure import Progress, measure
from gateway.lab.load.run import Plan
from tests.support.scripted_target import ScriptedTarget
from tests.support.tree import ROOT

SECRET = "between us"


class Address(str):
    """HOST:PORT of an agent, and its pid."""

    __slots__ = ("pid",)
    pid: int


@contextmanager
def agent(*arguments: str) -> Iterator[Address]:
    """The address of an agent in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "bench-agent", "--listen", "tcp:127.0.0.1:0", *arguments],
        cwd=ROOT,
        env={**os.environ, "INFERGATE_BENCH_SECRET": SECRET},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        assert line.startswith("infergate bench-agent: ready on 127.0.0.1:"), line
        address = Address(line.split()[-1])
        address.pid = process.pid
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 0


async def test_two_agents_send_one_schedule() -> None:
    """Their runs are one: every instant of the schedule once, histograms merged."""
    with ScriptedTarget() as target, agent() as first, agent() as second:
        made = Plan(
            url=target.url, model="m", rate=300.0, duration=2.0, warmup=0.3, processes=1, seed=4
        )
        async with Fleet([first, second], secret=SECRET) as fleet:
            run = await measure(made, fleet=fleet)
            again = await measure(made, fleet=fleet)
        alone = await measure(made)

    assert len(run.health) == 2
    assert len({each.pid for each in run.health}) == 2
    assert run.offered == again.offered == alone.offered
    assert run.ok == run.offered == len(run.response)
    assert [each.offered for each in run.timeline] == [each.offered for each in alone.timeline]
    # Half each, by turns.
    assert abs(run.health[0].sent - run.health[1].sent) <= 1


async def test_a_wrong_secret_is_refused_on_both_sides() -> None:
    """An agent obeys nobody who does not know it, and is believed by nobody if it does not."""
    with agent() as address:
        async with Fleet([address], secret="a guess") as fleet:
            with pytest.raises(LabError, match=f"agent {address}: does not accept the secret"):
                await fleet.grow(1)

    gone = asyncio.Event()

    async def imposter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO + bytes(32))
        await reader.readexactly(len(HELLO) + 64)
        writer.write(bytes(32))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(imposter, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(Stranger, match="does not know the secret"):
            await introduce(reader, writer, SECRET)
        writer.close()
        await writer.wait_closed()
        await gone.wait()


async def test_another_server_is_no_agent() -> None:
    """The port of a web server is told apart, in one line."""
    gone = asyncio.Event()

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Fleet([address], secret=SECRET) as fleet:
            with pytest.raises(LabError, match=f"agent {address}: is no agent"):
                await fleet.grow(1)
        await gone.wait()


async def test_a_full_agent_takes_no_more() -> None:
    """It has only so many processes, and frees them when their coordinator is gone."""
    with agent("--processes", "1") as address:
        async with Fleet([address], secret=SECRET) as fleet:
            await fleet.grow(1)
            async with Fleet([address], secret=SECRET) as other:
                with pytest.raises(LabError, match="has no process left"):
                    await other.grow(1)
        for _ in range(2_000):
            async with Fleet([address], secret=SECRET) as later:
                try:
                    await later.grow(1)
                except LabError:
                    # The process that was hung up on has not ended yet.
                    continue
                return
        pytest.fail("the process of a coordinator that is gone was never free again")


@pytest.mark.parametrize(
    ("listen", "says"),
    [
        ("tcp:0.0.0.0:0", "beyond loopback an agent needs a secret"),
        ("unix:/tmp/x", "expected tcp:HOST:PORT"),
        ("here", "expected"),
    ],
)
def test_where_an_agent_must_not_listen(
    listen: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr and exit code 2: an open agent would attack for anybody."""
    assert run_agent(listen) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Like any other fault."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_agent(f"tcp:127.0.0.1:{port}") == 2

    assert f"tcp:127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


async def test_a_process_that_dies_ends_the_run_with_one_line() -> None:
    """Half of a load is no load."""
    with ScriptedTarget() as target, agent() as address:
        pid = address.pid
        async with Fleet([address], secret=SECRET) as fleet:
            made = Plan(url=target.url, model="m", rate=100.0, duration=60.0, processes=1)

            def told(progress: Progress) -> None:
                if progress.phase == "warm-up":
                    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                    os.kill(int(child), signal.SIGKILL)

            with pytest.raises(LabError, match="a generating process is gone"):
                await measure(made, fleet=fleet, on_progress=told)
