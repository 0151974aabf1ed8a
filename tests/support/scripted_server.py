# SPDX-License-Identifier: Apache-2.0
"""A scripted v2 server behind a real socket, in the manner of one product or another."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Self

from gateway.upstream.caller import Caller
from gateway.upstream.remote import Remote
from gateway.wire.message import InferResponse
from gateway.wire.oip import decode_request
from gateway.wire.oip_answer import encode_response
from gateway.wire.signature import signature_of
from tests.support.dialects import TRITON, Dialect
from tests.support.upstream import MODEL, echo

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from gateway.upstream.transport import Upcall
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Tensor

LENGTH: Final = "inference-header-content-length"
_STATUS: Final = {
    "invalid_request": 400,
    "overloaded": 503,
    "draining": 503,
    "deadline_exceeded": 504,
}


class Asked:
    """An inference that a transport asked for, and on which connection to answer."""

    def __init__(
        self,
        id_: int,
        writer: asyncio.StreamWriter,
        headers: dict[str, str],
        body: bytes,
        info: ModelInfo,
    ) -> None:
        self.id = id_
        self.headers = headers
        self.done = False
        length = headers.get(LENGTH)
        self.binary = length is not None
        self.document: dict[str, Any] = json.loads(body[: int(length)] if length else body)
        self._writer = writer
        self._info = info
        self._request = decode_request(
            body,
            signature_of(info),
            header_length=None if length is None else int(length),
            model="m",
        )
        self.inputs = self._request.inputs

    @property
    def budget(self) -> float:
        """Microseconds that the sender still had."""
        return int(self.headers["x-request-timeout-ms"]) * 1e3

    @property
    def is_made_up(self) -> bool:
        """Tests ask for other numbers than zero."""
        return not any(map(any, self.inputs[0].array().tolist()))

    def result(self, *outputs: Tensor) -> tuple[dict[str, str], bytes]:
        """Headers and body of an answer; an echo without *outputs*."""
        response = InferResponse(outputs) if outputs else echo(self._request)
        body, length = encode_response(self._request, response, self._info)
        return ({} if length is None else {LENGTH: str(length)}), body

    def respond(self, *outputs: Tensor) -> None:
        """Answer."""
        headers, body = self.result(*outputs)
        self.reply(200, body, headers)

    def fail(self, code: str, message: str = "scripted") -> None:
        """Refuse in the manner of another Infergate."""
        body = json.dumps({"error": message}).encode()
        self.reply(_STATUS.get(code, 500), body, {"Infergate-Error": code})

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Answer with anything that is HTTP."""
        self.send(response_bytes(status, body, headers))

    def send(self, data: bytes) -> None:
        """Put *data* on the wire as it is."""
        self.done = True
        self._writer.write(data)

    def close(self) -> None:
        """Close the connection behind what was sent."""
        self.done = True
        self._writer.close()

    def abort(self) -> None:
        """Be gone."""
        self.done = True
        self._writer.transport.abort()


class ScriptedServer:
    """Listens on TCP and serves the model ``m``, which echoes, in the manner of *dialect*.

    It answers everything by itself but inferences, which a test answers; *answers_probes*: those
    of zeros, which only a probe asks for, are answered. *greets* False: it accepts, no more.
    """

    def __init__(
        self,
        dialect: Dialect = TRITON,
        *,
        info: ModelInfo = MODEL,
        greets: bool = True,
        answers_probes: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.dialect = dialect
        self.info = info
        self.greets = greets
        self.answers_probes = answers_probes
        self.ready = True
        # A status for inferences with made-up inputs, and the fewest bytes of such an input.
        self.refuses_made_up = 0
        # Whether it needs no test to answer, and how many rows it has answered.
        self.answers_all = False
        self.served = 0
        self.kills_on_made_up = False
        # Larger ones are refused before they are read; 0 for none.
        self.refuses_bodies_above = 0
        self.least_made_up = 0
        self.instance = "1"
        self._tls = tls
        self.config: dict[str, Any] = {"max_batch_size": 1 << 20}
        # Path to status and body, in place of what the dialect has there.
        self.pages: dict[str, tuple[int, bytes]] = {}
        self.requests: asyncio.Queue[Asked] = asyncio.Queue()
        self.pings: asyncio.Queue[int] = asyncio.Queue()
        self.cancels: asyncio.Queue[int] = asyncio.Queue()
        self.accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self.paths: list[str] = []
        self.left = asyncio.Event()
        self.most_connections = 0
        self.port = 0
        self.host = "127.0.0.1"
        self._ids = count(1)
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._visited = asyncio.Event()
        self._server: asyncio.Server

    def __repr__(self) -> str:
        return f"<ScriptedServer {self.dialect.name} {self.url} {len(self._open)} connections>"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.host}:{self.port}"

    def transport(self, upcall: Upcall, **options: Any) -> Remote:
        """A transport to it; *options* are those of `Caller`."""
        return Remote(Caller(self.url, **options), upcall, name="m")

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def listen(self) -> None:
        """Begin, or begin again at the same address."""
        self._stopped = False
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def visited(self, path: str, times: int) -> None:
        """Wait until *path* has been asked for *times* times."""
        while self.paths.count(path) < times:
            self._visited.clear()
            await self._visited.wait()

    def refuse(self) -> None:
        """Take no more connections; those that there are go on."""
        self._server.close()

    def stop(self) -> None:
        """Be gone, listener and connections."""
        self._stopped = True
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stopped:
            # It was accepted in the very turn in which the listener went.
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._open.add(writer)
        self.most_connections = max(self.most_connections, len(self._open))
        self.accepted.put_nowait(writer)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            self._open.discard(writer)
            self._serving.discard(task)
            self.left.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked: Asked | None = None
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *fields = head.rstrip().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (f.partition(": ") for f in fields)
                }
                method, path, _ = line.split(" ")
                size = int(headers.get("content-length", 0))
                if 0 < self.refuses_bodies_above < size:
                    writer.write(response_bytes(413, b'{"error":"too large"}'))
                    await reader.read(1)
                    continue
                body = await reader.readexactly(size)
                self.paths.append(path)
                self._visited.set()
                if not self.greets:
                    continue
                if method == "GET":
                    status, page = self.pages.get(path) or self._page(path)
                    writer.write(response_bytes(status, page))
                    continue
                asked = Asked(next(self._ids), writer, headers, body, self.info)
                if not self._take(asked):
                    return
        finally:
            if asked is not None and not asked.done:
                self.cancels.put_nowait(asked.id)

    def _take(self, asked: Asked) -> bool:
        """Answer *asked* or leave it to the test; False for a connection that is to end."""
        if not asked.is_made_up:
            if self.answers_all:
                self.served += asked.inputs[0].rows
                asked.respond()
            else:
                self.requests.put_nowait(asked)
            return True
        self.pings.put_nowait(asked.id)
        if self.refuses_made_up:
            asked.reply(self.refuses_made_up, b'{"error":"no such input"}')
        elif asked.inputs[0].nbytes < self.least_made_up:
            asked.reply(400, b'{"error":"too small"}')
        elif self.answers_probes or self.least_made_up:
            asked.respond()
        return not self.kills_on_made_up

    def _page(self, path: str) -> tuple[int, bytes]:
        model = f"/v2/models/{self.info.name}"
        if path == "/v2":
            return 200, _dumps(
                {
                    "name": self.dialect.name,
                    "version": self.instance,
                    "extensions": self.dialect.extensions,
                }
            )
        if path == f"{model}/ready":
            if self.ready:
                return 200, self.dialect.health
            return self.dialect.not_ready, b'{"error":"Model version not ready"}'
        if path == model:
            return 200, _dumps(metadata(self.info))
        if path == f"{model}/config" and "model_configuration" in self.dialect.extensions:
            return 200, _dumps(self.config)
        return self.dialect.unknown, b'{"error":"Not Found"}'


def metadata(info: ModelInfo) -> dict[str, Any]:
    """The model's page."""
    return {
        "name": info.name,
        "versions": [info.version],
        "platform": info.platform,
        "inputs": [_tensor(spec.name, spec.datatype, spec.shape) for spec in info.inputs],
        "outputs": [_tensor(spec.name, spec.datatype, spec.shape) for spec in info.outputs],
    }


def response_bytes(status: int, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """A plain HTTP/1.1 response."""
    fields = {"Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode() + body


def _tensor(name: str, datatype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _dumps(document: object) -> bytes:
    return json.dumps(document).encode()
