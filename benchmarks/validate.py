# SPDX-License-Identifier: Apache-2.0
"""Ask every request once, several at a time, and compare each answer with the truth."""

import http.client
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.payloads import Payload
from benchmarks.processes import BenchmarkError, Server

CLIENTS = 8

Judge = Callable[[int, bytes], str | None]


def ask(connection: http.client.HTTPConnection, payload: Payload, number: int) -> tuple[int, bytes]:
    """Send request *number* of *payload*; give status and body."""
    connection.request("POST", payload.path, payload.bodies[number], dict(payload.headers))
    answer = connection.getresponse()
    return answer.status, answer.read()


def await_ready(server: Server, port: int, payload: Payload, seconds: float = 60.0) -> None:
    """Return when the first request is answered with 200; BenchmarkError after *seconds*."""
    deadline = time.monotonic() + seconds
    last = "no connection"
    while time.monotonic() < deadline:
        server.check()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            status, body = ask(connection, payload, 0)
            if status == 200:
                return
            last = f"status {status}: {body[:200]!r}"
        except (OSError, http.client.HTTPException) as error:
            last = repr(error)
        finally:
            connection.close()
        time.sleep(0.05)
    raise BenchmarkError(f"not ready within {seconds:.0f} s ({last}):\n{server.log_text()[-2000:]}")


def validate(port: int, payload: Payload, judge: Judge) -> int:
    """Check the answer to every request of *payload*; give their number.

    Several clients ask at once, so that a batch split wrongly shows.
    """

    def check(numbers: Sequence[int]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            for number in numbers:
                status, body = ask(connection, payload, number)
                wrong = f"status {status}: {body[:200]!r}" if status != 200 else judge(number, body)
                if wrong:
                    raise BenchmarkError(f"request {number} to {payload.path}: {wrong}")
        finally:
            connection.close()

    everything = range(len(payload.bodies))
    with ThreadPoolExecutor(CLIENTS) as clients:
        for _ in clients.map(check, [everything[start::CLIENTS] for start in range(CLIENTS)]):
            pass
    return len(everything)
