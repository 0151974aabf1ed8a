# SPDX-License-Identifier: Apache-2.0
"""A v2 server that does nothing but what it is told: ``python -m benchmarks.load.server``.

It prints its port. With ``--stall 0.2`` it holds all answers back for the first 200 ms of every
second of the monotonic clock, as a garbage collector might; with ``--service 0.001`` requests wait
for one another, each for a millisecond of the one server there is (M/D/1 under Poisson load).
"""

import argparse
import asyncio
import heapq
import json
from time import perf_counter, perf_counter_ns

import httptools
import uvloop

from gateway.lab.load.alarm import Alarm

MODEL = "m"
WIDTH = 8
_METADATA = {
    "name": MODEL,
    "versions": ["1"],
    "platform": "scripted",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, WIDTH]}],
    "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}],
}
_ANSWER = {
    "model_name": MODEL,
    "outputs": [{"name": "y", "datatype": "INT64", "shape": [1], "data": [1]}],
}


def _response(status: str, document: object) -> bytes:
    body = json.dumps(document).encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


_PAGES = {
    b"/v2": _response("200 OK", {"name": "scripted", "version": "1", "extensions": []}),
    f"/v2/models/{MODEL}".encode(): _response("200 OK", _METADATA),
}
_NOT_FOUND = _response("404 Not Found", {"error": "no such page"})
_ANSWERED = _response("200 OK", _ANSWER)


class Script:
    """When answers leave."""

    def __init__(self, stall: float, service: float) -> None:
        self._stall = stall
        self._service = service
        self._free = 0.0
        self._asked = 0
        # Answers that leave later, the next one first; an event loop's own timers are too coarse.
        self._later: list[tuple[int, int, asyncio.Transport]] = []
        self._alarm = Alarm(asyncio.get_running_loop(), self._leave)

    def statistics(self) -> bytes:
        """What it has done so far, in Triton's words."""
        one = {"name": MODEL, "version": "1", "inference_count": self._asked}
        return _response("200 OK", {"model_stats": [one]})

    def answer(self, transport: asyncio.Transport) -> None:
        """Answer now, or when the script says so."""
        self._asked += 1
        now = perf_counter()
        leaves = now
        if self._service:
            # One request at a time: this one is done when those before it are, and its own time.
            self._free = leaves = max(now, self._free) + self._service
        if self._stall and leaves % 1 < self._stall:
            leaves += self._stall - leaves % 1
        if leaves > now:
            heapq.heappush(self._later, (round(leaves * 1e9), self._asked, transport))
            self._alarm.set(self._later[0][0])
        else:
            transport.write(_ANSWERED)

    def _leave(self) -> None:
        """Write what is due."""
        now = perf_counter_ns()
        while self._later and self._later[0][0] <= now:
            transport = heapq.heappop(self._later)[2]
            if not transport.is_closing():
                transport.write(_ANSWERED)
        if self._later:
            self._alarm.set(self._later[0][0])
        else:
            self._alarm.off()


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = transport  # type: ignore[assignment] # uvloop's is of no class of asyncio

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        self._parser.feed_data(data)

    def on_url(self, path: bytes) -> None:
        """Httptools' callback."""
        self._path += path

    def on_message_complete(self) -> None:
        """Httptools' callback."""
        path, self._path = self._path, b""
        if path.endswith(b"/infer"):
            self._script.answer(self._transport)
        elif path.endswith(b"/stats"):
            self._transport.write(self._script.statistics())
        else:
            self._transport.write(_PAGES.get(path, _NOT_FOUND))


async def _serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    script = Script(options.stall, options.service)
    server = await loop.create_server(
        lambda: Connection(script), "127.0.0.1", options.port, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stall", type=float, default=0.0)
    parser.add_argument("--service", type=float, default=0.0)
    uvloop.run(_serve(parser.parse_args()))
