# SPDX-License-Identifier: Apache-2.0
"""A server of models that know the answers, which are written into the rows they are sent."""

from __future__ import annotations

import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from types import TracebackType

# What each model gives: name, datatype and shape of its outputs. Its class is the first number of a
# row; `ruler` gives that number itself, and `tagger` has a score for each of three labels, the bits
# of that number.
OUTPUTS: dict[str, list[dict[str, Any]]] = {
    "oracle": [
        {"name": "scores", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "label", "datatype": "INT64", "shape": [-1]},
    ],
    "ruler": [{"name": "length", "datatype": "FP32", "shape": [-1, 1]}],
    "tagger": [{"name": "tags", "datatype": "FP32", "shape": [-1, 3]}],
}


class Oracle:
    """Serves v2 (JSON and binary) and v1 on a free port of loopback while the context is open.

    Requests beyond the first *healthy* ones are answered with 503. Beyond the first *tidy* ones
    the rows of an answer are those of the row before: what a mix-up of answers looks like.
    """

    def __init__(self, *, healthy: int = 1_000_000, tidy: int = 1_000_000) -> None:
        self.paths: list[str] = []
        state = {"left": [healthy], "tidy": [tidy], "paths": self.paths}
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), state))
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
    tidy: ClassVar[list[int]]
    paths: ClassVar[list[str]]

    def do_GET(self) -> None:
        """Metadata."""
        model = self.path.removeprefix("/v2/models/")
        if model in OUTPUTS:
            metadata = {
                "name": model,
                "versions": ["1"],
                "platform": "test",
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
                "outputs": OUTPUTS[model],
            }
            self._reply(200, json.dumps(metadata).encode())
        else:
            self._reply(404, b'{"error": "unknown model; this server has: oracle"}')

    def do_POST(self) -> None:
        """A prediction by any of the three spellings."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.paths.append(self.path)
        self.left[0] -= 1
        self.tidy[0] -= 1
        if self.left[0] < 0:
            self._reply(503, b'{"error": "no worker is\\nready"}')
        elif self.path.startswith("/v1"):
            model = self.path.removeprefix("/v1/models/").removesuffix(":predict")
            firsts = self._firsts([row[0] for row in json.loads(body)["instances"]])
            names = [output["name"] for output in OUTPUTS[model]]
            rows = [{name: _answer(name, first) for name in names} for first in firsts]
            predictions = rows if len(names) > 1 else [row[names[0]] for row in rows]
            self._reply(200, json.dumps({"predictions": predictions}).encode())
        else:
            self._v2(self.path.removeprefix("/v2/models/").removesuffix("/infer"), body)

    def _firsts(self, firsts: list[float]) -> list[float]:
        return firsts if self.tidy[0] >= 0 else firsts[-1:] + firsts[:-1]

    def _v2(self, model: str, body: bytes) -> None:
        length = self.headers["Inference-Header-Content-Length"]
        head = json.loads(body[: int(length)] if length else body)
        shape = head["inputs"][0]["shape"]
        if length:
            values = list(struct.unpack(f"<{shape[0] * shape[1]}f", body[int(length) :]))
        else:
            values = head["inputs"][0]["data"]
        firsts = self._firsts(values[:: shape[1]])
        known = {output["name"]: output for output in OUTPUTS[model]}
        entries, raw = [], b""
        for wanted in head["outputs"]:
            output = known[wanted["name"]]
            answers = [_answer(output["name"], first) for first in firsts]
            flat = [one for row in answers for one in (row if isinstance(row, list) else [row])]
            entry: dict[str, Any] = {**output, "shape": [len(firsts), *output["shape"][1:]]}
            if length:
                part = struct.pack(f"<{len(flat)}{'q' if output['datatype'] == 'INT64' else 'f'}",
                                   *flat)  # fmt: skip
                entry["parameters"] = {"binary_data_size": len(part)}
                raw += part
            else:
                entry["data"] = flat
            entries.append(entry)
        answer = json.dumps({"outputs": entries}).encode()
        if length:
            extra = ("Inference-Header-Content-Length", str(len(answer)))
            self._reply(200, answer + raw, extra)
        else:
            self._reply(200, answer)

    def _reply(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _answer(output: str, first: float) -> int | float | list[float]:
    if output == "label":
        return int(first)
    if output == "length":
        return first
    if output == "tags":
        return [float(int(first) >> place & 1) for place in range(3)]
    return [float(place == int(first)) for place in range(3)]
