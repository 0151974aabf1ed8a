# SPDX-License-Identifier: Apache-2.0
"""A gateway process that is short of memory, descriptors or time: the whole program."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import yaml

from tests.integration.test_chaos import CONFIG
from tests.support.direct import digits
from tests.support.http import Client, Response, chunked, connect, request, until
from tests.support.load import Load, held_out
from tests.support.serving import Serving

INFER = "/v2/models/digits/infer"
QUESTION: dict[str, Any] = {
    "inputs": [{"name": "image", "shape": [1, 64], "datatype": "FP32", "data": [1.0] * 64}]
}
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
BODY = json.dumps(QUESTION).encode()


def config(**server: Any) -> str:
    """The configuration of the chaos tests with *server* in its section of that name."""
    document = yaml.safe_load(CONFIG)
    document["server"] |= server
    text: str = yaml.safe_dump(document)
    return text


def port_of(serving: Serving) -> int:
    """The number of the data port."""
    return int(serving.http.rpartition(":")[2])


def metric(serving: Serving, name: str, **labels: str) -> float:
    """The value of one series; 0 where there is none."""
    _, text = serving.get("/metrics", admin=True)
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    for line in text.splitlines():
        if line.startswith(name) and all(each in line for each in wanted):
            return float(line.rpartition(" ")[2])
    return 0.0


def refused(serving: Serving) -> bool:
    """Whether an inference is refused for overload now."""
    status, answer = serving.post(INFER, QUESTION)
    return status == 503 and "overloaded" in answer["error"]


def assert_refused(answer: Response) -> None:
    """503 with all that a client needs."""
    assert answer.status == 503, answer
    assert answer.header("Infergate-Error") == "overloaded"
    assert 1 <= int(answer.header("Retry-After") or "0") <= 10
    assert "memory is in use" in answer.json()["error"]


async def refusals(port: int) -> None:
    """Every kind of inference is refused, on both servers and in both protocols."""
    chunks = {"Transfer-Encoding": "chunked"}
    huge = {"Content-Length": str(32 << 20)}
    for sent in (
        request("POST", INFER, BODY),
        request("POST", "/v1/models/digits:predict", {"instances": [[1.0] * 64]}),
        request("POST", INFER, headers=chunks) + chunked(BODY),
        # Of these only the head is ever sent: they are refused before the body is read.
        request("POST", INFER, headers=chunks),
        request("POST", INFER, headers=huge),
        request("POST", "/v1/models/digits:predict", headers=huge),
    ):
        async with connect(port) as client:
            await client.send(sent)
            assert_refused(await client.receive())


def test_without_memory_inference_is_refused_and_nothing_else(tmp_path: Path) -> None:
    """Health, metadata, metrics and the admin port answer, and say what is wrong."""
    overload = {"memory_limit": "1MiB"}
    with Serving(tmp_path, config(overload=overload)).ready() as serving:
        asyncio.run(until(lambda: refused(serving)))
        asyncio.run(refusals(port_of(serving)))

        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/digits", "/metrics"):
            assert serving.get(path)[0] == 200, path
        assert serving.get("/healthz", admin=True)[0] == 200
        assert metric(serving, "infergate_shed_total", model="digits", reason="memory") >= 6
        refusing = {"resource": "memory", "action": "refuse"}
        asyncio.run(until(lambda: metric(serving, "infergate_overload", **refusing) == 1))
        assert metric(serving, "infergate_pressure", resource="memory") > 1


async def open_some(port: int, count: int) -> tuple[list[Client], Response]:
    """So many connections that stay open, and the last answer on them."""
    clients: list[Client] = []
    while True:
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        clients.append(client)
        answer = await client.ask("GET", "/v2/health/live")
        assert answer.status == 200
        if len(clients) == count or answer.header("Connection") == "close":
            return clients, answer


async def ask_until_parted(client: Client) -> None:
    """Ask on one connection until an answer is its last."""
    async with asyncio.timeout(20):
        while (await client.ask("GET", "/v2/health/live")).header("Connection") != "close":
            pass


def test_short_of_descriptors_it_parts_with_clients(tmp_path: Path) -> None:
    """Connections are closed behind their answers until enough of them are free again."""
    options = {
        "limits": {"connections": 100_000},
        # Of the hard limit, which a process takes in full at its start.
        "overload": {"descriptors_part": 150 / DESCRIPTORS, "descriptors_refuse": 0},
    }
    with Serving(tmp_path, config(**options)).ready() as serving:
        port = port_of(serving)

        async def scenario() -> None:
            clients, answer = await open_some(port, 50)
            assert answer.header("Connection") != "close"
            # With these and its own there are more than the 150 of which it parts with clients.
            more, answer = await open_some(port, 120)
            clients += more
            if answer.header("Connection") != "close":
                await ask_until_parted(clients[-1])
            async with connect(port) as client:
                answer = await client.ask("POST", INFER, BODY)
                assert (answer.status, answer.header("Connection")) == (200, "close")
            for client in clients:
                client.reset()

            async def keeps() -> bool:
                async with connect(port) as client:
                    answer = await client.ask("POST", INFER, BODY)
                    assert answer.status == 200
                    return answer.header("Connection") != "close"

            async with asyncio.timeout(20):
                while not await keeps():
                    pass

        asyncio.run(scenario())


def test_no_more_connections_than_the_limit(tmp_path: Path) -> None:
    """One more is closed at once, those that there are go on, and a free place is taken again."""
    with Serving(tmp_path, config(limits={"connections": 20})).ready() as serving:
        port = port_of(serving)

        async def scenario() -> None:
            clients = [Client(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(20)]
            for client in clients:
                assert (await client.ask("POST", INFER, BODY)).status == 200
            async with connect(port) as client:
                assert await client.closed()
            for client in clients:
                assert (await client.ask("POST", INFER, BODY)).status == 200
                client.reset()
            async with asyncio.timeout(20):
                while True:
                    async with connect(port) as client:
                        try:
                            assert (await client.ask("POST", INFER, BODY)).status == 200
                        except (asyncio.IncompleteReadError, ConnectionError):
                            continue
                        break

        asyncio.run(scenario())
        asyncio.run(until(lambda: metric(serving, "infergate_connections_refused_total") >= 1))


async def under_load(serving: Serving, disturb: Any) -> Load:
    """Have clients ask while *disturb* goes on, and for some requests longer."""
    rows, _ = held_out("digits")
    load = Load(serving.http, digits(rows), clients=8)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        await load.reaches(200)
        await asyncio.to_thread(disturb)
        await load.reaches(load.outcome.answered + 500)
        load.stopped.set()
    return load


def test_one_stall_refuses_nobody(tmp_path: Path) -> None:
    """A gateway process that stands still for more than half a second answers all it was asked."""
    with Serving(tmp_path, CONFIG).ready() as serving:
        pid = serving.children()["gateway.process"]

        def stall() -> None:
            os.kill(pid, signal.SIGSTOP)
            # The thing under test: two looks at the loop, a quarter of a second apart, see nothing.
            time.sleep(0.7)
            os.kill(pid, signal.SIGCONT)

        load = asyncio.run(under_load(serving, stall))
        assert load.outcome.failures() == {}
        assert metric(serving, "infergate_shed_total", reason="loop_lag") == 0


def test_a_loop_that_stays_behind_refuses_until_it_keeps_up(tmp_path: Path) -> None:
    """A process that gets a tenth of its time refuses, and answers all once it has all of it."""
    with Serving(tmp_path, CONFIG).ready() as serving:
        pid = serving.children()["gateway.process"]

        def starve() -> None:
            # Until it has refused; the number of turns only bounds a failure.
            for _ in range(40):
                os.kill(pid, signal.SIGSTOP)
                # The thing under test is a process with a tenth of its time, however it is cut.
                time.sleep(0.4)
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.04)
                if load.outcome.statuses[503]:
                    return

        rows, _ = held_out("digits")
        load = Load(serving.http, digits(rows), clients=8)

        async def scenario() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run())
                await load.reaches(200)
                await asyncio.to_thread(starve)
                answered = load.outcome.statuses[200] + 500
                while load.outcome.statuses[200] < answered:
                    await load.reaches(load.outcome.answered + 1)
                load.stopped.set()

        asyncio.run(scenario())
        assert load.outcome.statuses[503] > 0
        assert "event loop is" in load.outcome.errors[0]
        assert set(load.outcome.statuses) == {200, 503}
        assert (load.outcome.wrong, load.outcome.broken) == (0, [])
        assert not refused(serving)

        def counted() -> bool:
            shed = metric(serving, "infergate_shed_total", model="digits", reason="loop_lag")
            return shed == load.outcome.statuses[503]

        asyncio.run(until(counted))
