# SPDX-License-Identifier: Apache-2.0
"""Labelling: predictions handed over as a gateway process does, and labels sent as clients do."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from gateway.edge.ids import new_id
from gateway.wire.orders import reachable
from gateway.wire.runtime import samples_socket
from gateway.wire.samples import Samples, encode
from tests.support.events import wait_gone
from tests.support.factors import Repository
from tests.support.ledgers import made
from tests.support.serving import Serving


def text(repository: Repository, ledger: Path | str, *, processes: int = 1, more: str = "") -> str:
    """A configuration of the model m, which multiplies, with a ledger at *ledger*."""
    url = ledger if isinstance(ledger, str) else f"sqlite:///{ledger}"
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, "
        f"processes: {processes}}}\n"
        f"ledger: {{url: '{url}'{more}}}\n"
        f"models: {{m: {{backends: [{{worker: {{path: {repository.path('m')}}}}}], "
        "quality: {task: regression}}}\n"
    )


def serving(directory: Path, ledger: Path | str, *, processes: int = 1, more: str = "") -> Serving:
    """The whole program with the model m."""
    repository = Repository(directory / "repository")
    repository.add("m", 1, 2.0)
    return Serving(directory, text(repository, ledger, processes=processes, more=more))


def hand_over(serving: Serving, samples: Samples) -> None:
    """Give *samples* to the control process, waiting until it listens."""
    (runtime,) = serving.temporary.glob("infergate-*")
    with socket.socket(socket.AF_UNIX) as connection:
        until(lambda: _connects(connection, runtime))
        connection.sendall(encode(samples))


def _connects(connection: socket.socket, runtime: Path) -> bool:
    try:
        with reachable(samples_socket(runtime)) as name:
            connection.connect(name)
    except OSError:
        return False
    return True


def predictions(count: int) -> Samples:
    """*count* predictions of 2.0 by the model m."""
    return made([new_id() for _ in range(count)], [2.0] * count, dtype=np.float64)


def infer(serving: Serving) -> float:
    """What the model says to 1.0; fails where it says nothing."""
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}
    status, answer = serving.post("/v2/models/m/infer", {"inputs": [tensor]})
    assert status == 200, answer
    return float(answer["outputs"][0]["data"][0])


def label(serving: Serving, ids: list[str], value: float = 2.0) -> tuple[int, Any]:
    """Status and answer to labels of *ids*."""
    return serving.post("/v1/labels", [{"id": each, "value": value} for each in ids])


def ledger_state(serving: Serving) -> dict[str, Any]:
    """What the admin port says of the ledger."""
    status, body = serving.get("/v1/ledger", admin=True)
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look again and again until *condition* holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)  # between two looks, not for something to happen


def kill(serving: Serving, child: str) -> None:
    """Kill a child, and wait until it is gone."""
    pid = serving.children()[child]
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert wait_gone(pidfd)
    os.close(pidfd)


def rows(ledger: Path, query: str) -> list[Any]:
    """What *query* finds in the file *ledger*."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


class Labelling:
    """Hands over predictions and sends labels for them until it is stopped.

    *acknowledged* are the ids whose labels were answered, by what the answer was; *refused* counts
    requests without an answer.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self.acknowledged: dict[str, str] = {}
        self.refused = 0
        self.stopped = threading.Event()

    def goes_on(self, count: int = 500) -> None:
        """Wait until so many more labels have been answered."""
        wanted = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= wanted)

    def run(self) -> None:
        """Send, in batches of 50."""
        while not self.stopped.is_set():
            samples = predictions(50)
            hand_over(self._serving, samples)
            body = json.dumps([{"id": each, "value": 2.5} for each in samples.ids])
            connection = HTTPConnection(self._serving.http, timeout=30)
            try:
                connection.request("POST", "/v1/labels", body)
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, HTTPException):
                self.refused += 1
                continue
            finally:
                connection.close()
            if "results" not in answer:
                self.refused += 1
                continue
            for each in answer["results"]:
                self.acknowledged[each["id"]] = each["result"]


@contextmanager
def labelling(serving: Serving) -> Iterator[Labelling]:
    """Labels that are sent meanwhile."""
    sending = Labelling(serving)
    thread = threading.Thread(target=sending.run)
    thread.start()
    try:
        yield sending
    finally:
        sending.stopped.set()
        thread.join(60)
