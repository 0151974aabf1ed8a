# SPDX-License-Identifier: Apache-2.0
"""Caller: HTTP calls to one server at one address, with everything about them bounded.

A session of aiohttp's for each endpoint, not one for all: its connections end with the endpoint,
and those that an endpoint in trouble holds are given up without touching another's.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway import __version__
from gateway.errors import BadAnswer, ConnectFailed, ConnectionLost, UpstreamError
from gateway.upstream.parts import Parts

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    from multidict import CIMultiDictProxy

    from gateway.wire.tensor import Buffer

# Servers on uvicorn close a connection that stood for 5 s: the side that uses it again must be the
# one that gives it up first.
IDLE: Final = 4.0
# None of it is asked for: what is not decoded must not come encoded.
_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": f"infergate/{__version__}"}
_MAX_LINE: Final = 8190


class Refused(ConnectFailed):
    """Nothing listens at the address."""


class Stale(UpstreamError):
    """A connection that was kept ended without a byte of an answer: it may have been idle for too
    long, or the server may have died of the request.
    """


class Answered(NamedTuple):
    """What a server sent back, whatever it means."""

    status: int
    headers: CIMultiDictProxy[str]
    body: Buffer


class Caller:
    """Calls the server at *url* (``http://HOST:PORT``), at the one *address* where that is given.

    *headers* go with every call. *tls* is what an ``https`` server is checked with. Times are in
    seconds; *max_answer* bounds an answer's body in bytes. How many calls there are at the same
    time is the business of whoever calls: none waits here for a connection.
    """

    def __init__(
        self,
        url: str,
        *,
        address: str = "",
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        connect_timeout: float = 1.0,
        idle_timeout: float = IDLE,
        max_answer: int = 64 << 20,
    ) -> None:
        self.address = f"{url} at {address}" if address else url
        self._url = url
        self._at = address
        self._headers = {**_HEADERS, **(headers or {})}
        self._tls = tls
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._max_answer = max_answer
        self._line: _Line | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Caller {self.address}>"

    async def call(
        self,
        method: str,
        path: str,
        *,
        parts: Sequence[Buffer] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """Send a request and read its whole answer; cancelled, it closes the connection.

        Raises ConnectFailed where nothing was sent (Refused where nobody listens), ConnectionLost
        where the server went away, Stale where it closed a connection that was kept,
        and BadAnswer for what is not HTTP or is too large.
        """
        line = self._line
        if line is None:
            line = self._line = _Line(self._session())
        call = _Call(method, path, parts, headers)
        line.calls += 1
        try:
            return await self._exchange(line.session, call)
        except aiohttp.ConnectionTimeoutError:
            message = f"{self.address} did not accept within {self._connect_timeout:g} s"
            raise ConnectFailed(message) from None
        except aiohttp.ClientConnectorError as error:
            # A certificate that is not trusted is told in a place of its own.
            why = getattr(error, "certificate_error", None) or error.os_error
            kind = Refused if isinstance(why, ConnectionRefusedError) else ConnectFailed
            raise kind(f"{self.address} cannot be reached: {why}") from None
        except aiohttp.ClientPayloadError as error:
            raise ConnectionLost(f"{self.address} broke its answer off: {error}") from None
        except aiohttp.ClientResponseError as error:
            raise BadAnswer(f"{self.address} does not answer in HTTP: {error.message}") from None
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            raise self._lost(call, error) from None
        except aiohttp.ClientError as error:
            raise UpstreamError(f"{self.address}: {type(error).__name__}: {error}") from None
        finally:
            line.calls -= 1
            if line.retired and not line.calls:
                self._close(line)

    def distrust(self) -> None:
        """Use no connection again that is there now; calls under way end on theirs."""
        line, self._line = self._line, None
        if line is not None:
            line.retired = True
            if not line.calls:
                self._close(line)

    def abort(self) -> None:
        """Close all connections now."""
        line, self._line = self._line, None
        if line is not None:
            self._close(line)

    async def close(self) -> None:
        """Close all connections and wait for that."""
        self.abort()
        await asyncio.gather(*self._closing)

    async def _exchange(self, session: aiohttp.ClientSession, call: _Call) -> Answered:
        # Only GET is sent anew by aiohttp itself where a kept connection was closed meanwhile, and
        # GET only asks how the server is: an inference is sent once for each call.
        response = await session.request(
            call.method,
            self._url + call.path,
            data=Parts(call.parts) if call.parts else None,
            headers=call.headers,
            allow_redirects=False,
            trace_request_ctx=call,
        )
        whole = False
        try:
            call.answering = True
            body = await self._read(response)
            whole = True
            return Answered(response.status, response.headers, body)
        finally:
            # What was not read to its end must not be taken for the next answer.
            if whole:
                response.release()
            else:
                response.close()

    async def _read(self, response: aiohttp.ClientResponse) -> Buffer:
        limit = self._max_answer
        told = response.content_length
        if told is not None and told > limit:
            raise BadAnswer(f"{self.address}: an answer of {told} bytes, the limit is {limit}")
        coding = response.headers.get("Content-Encoding", "identity")
        if coding != "identity":
            raise BadAnswer(
                f"{self.address}: an answer in '{coding[:32]}', which was not asked for"
            )
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > limit:
                raise BadAnswer(f"{self.address}: an answer of more than {limit} bytes")
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _lost(self, call: _Call, error: Exception) -> UpstreamError:
        why = str(error) or type(error).__name__
        if call.reused and not call.answering:
            # The other connections that are idle may be no better.
            self.distrust()
            return Stale(f"{self.address} closed a connection that was kept: {why}")
        return ConnectionLost(f"{self.address} went away: {why}")

    def _session(self) -> aiohttp.ClientSession:
        resolver = _At(self._at) if self._at else None
        connector = aiohttp.TCPConnector(
            limit=0,
            resolver=resolver,
            keepalive_timeout=self._idle_timeout,
            ssl=self._tls if self._tls is not None else True,
        )
        watch = aiohttp.TraceConfig()
        watch.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
            trace_configs=[watch],
            trust_env=False,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
        )

    def _close(self, line: _Line) -> None:
        if not line.session.closed:
            task = asyncio.get_running_loop().create_task(line.session.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class _Line:
    """A session and the calls under way on it; *retired*, it ends with the last of them."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.calls = 0
        self.retired = False


class _Call:
    """A call, and what is known of it when it fails."""

    __slots__ = ("answering", "headers", "method", "parts", "path", "reused")

    def __init__(
        self, method: str, path: str, parts: Sequence[Buffer], headers: Mapping[str, str] | None
    ) -> None:
        self.method = method
        self.path = path
        self.parts = parts
        self.headers = headers
        self.reused = False
        self.answering = False


async def _note_reuse(_: aiohttp.ClientSession, context: Any, __: object) -> None:  # noqa: ANN401
    call = context.trace_request_ctx
    if isinstance(call, _Call):
        call.reused = True


class _At(AbstractResolver):
    """Finds every host at one address; ``Host`` and the certificate's check keep the name."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The address."""
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host, host=self._address, port=port, family=family, proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is open."""
