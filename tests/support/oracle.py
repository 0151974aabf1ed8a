# SPDX-License-Identifier: Apache-2.0
"""A server of one model that knows the answers: its class is the first number of a row."""

from __future__ import annotations

import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from types import TracebackType

METADATA = {
    "name": "oracle",
    "versions": ["1"],
    "platform": "test",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [
        {"name": "scores", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "label", "datatype": "INT64", "shape": [-1]},
    ],
}


class Oracle:
    """Serves v2 (JSON and binary) and v1 on a free port of loopback while the context is open.

    Requests beyond the first *healthy* ones are answered with 503.
    """

    def __init__(self, *, healthy: int = 1_000_000) -> None:
        self.paths: list[str] = []
        handler = type("Handler", (_Handler,), {"left": [healthy], "paths": self.paths})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that goes away in the middle is part of the test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    left: ClassVar[list[int]]
    paths: ClassVar[list[str]]

    def do_GET(self) -> None:
        """Metadata."""
        if self.path == "/v2/models/oracle":
            self._reply(200, json.dumps(METADATA).encode())
        else:
            self._reply(404, b'{"error": "unknown model; this server has: oracle"}')

    def do_POST(self) -> None:
        """A prediction by any of the three spellings."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.paths.append(self.path)
        self.left[0] -= 1
        if self.left[0] < 0:
            self._reply(503, b'{"error": "no worker is\\nready"}')
        elif self.path.startswith("/v1"):
            rows = json.loads(body)["instances"]
            predictions = [{"label": int(row[0]), "scores": _scores(row[0])} for row in rows]
            self._reply(200, json.dumps({"predictions": predictions}).encode())
        else:
            self._v2(body)

    def _v2(self, body: bytes) -> None:
        length = self.headers["Inference-Header-Content-Length"]
        head = json.loads(body[: int(length)] if length else body)
        shape = head["inputs"][0]["shape"]
        if length:
            values = list(struct.unpack(f"<{shape[0] * shape[1]}f", body[int(length) :]))
        else:
            values = head["inputs"][0]["data"]
        firsts = values[:: shape[1]]
        (wanted,) = (output["name"] for output in head["outputs"])
        entry: dict[str, Any]
        data: list[int] | list[float]
        if wanted == "label":
            entry = {"name": "label", "datatype": "INT64", "shape": [len(firsts)]}
            data, letter = [int(first) for first in firsts], "q"
        else:
            entry = {"name": "scores", "datatype": "FP32", "shape": [len(firsts), 3]}
            data, letter = [score for first in firsts for score in _scores(first)], "f"
        if not length:
            self._reply(200, json.dumps({"outputs": [entry | {"data": data}]}).encode())
            return
        raw = struct.pack(f"<{len(data)}{letter}", *data)
        entry["parameters"] = {"binary_data_size": len(raw)}
        answer = json.dumps({"outputs": [entry]}).encode()
        self._reply(200, answer + raw, ("Inference-Header-Content-Length", str(len(answer))))

    def _reply(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _scores(first: float) -> list[float]:
    return [float(place == int(first)) for place in range(3)]
