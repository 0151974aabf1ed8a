# SPDX-License-Identifier: Apache-2.0
"""Dial: connect to the Redis server that an address means now, and log in."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Final, Protocol

import hiredis

from gateway.stores.line import SocketLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.stores.address import RedisAddress
    from gateway.stores.line import Command, Line, Lost, Replies

# The longest honest reply is that to one MGET.
MAX_REPLY: Final = 256 << 20


class Login:
    """Who the gateway is to a server; its text shows no password."""

    __slots__ = ("password", "username")

    def __init__(self, username: str = "", password: str = "") -> None:
        self.username = username
        self.password = password

    def __repr__(self) -> str:
        return f"<Login {self.username or 'default'}>"

    def commands(self) -> list[Command]:
        """What to say first; nothing without a password."""
        if not self.password:
            return []
        if self.username:
            return [("AUTH", self.username, self.password)]
        return [("AUTH", self.password)]


class Dialling(Protocol):
    """What connects lines."""

    async def __call__(self, lost: Lost) -> Line:
        """A line on which commands may be sent; *lost* is called when it ends.

        Raises OSError where there is none.
        """
        ...

    async def aclose(self) -> None:
        """Wait for what is left of lines that have ended."""
        ...


class DialError(ConnectionError):
    """No server could be reached, or it does not let this gateway in."""


class Dial:
    """Connects lines to *address*; Sentinels are asked anew each time which server it is.

    *login* is for the servers, *sentinel_login* for the Sentinels; *tls* is for both.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        login: Login,
        sentinel_login: Login | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._login = login
        self._sentinel_login = sentinel_login or Login()
        self._tls = tls
        # The one that answered last is asked first.
        self._sentinels = list(address.hosts)

    def __repr__(self) -> str:
        return f"<Dial {self._address} {self._login!r}>"

    async def __call__(self, lost: Lost) -> SocketLine:
        """A line that is logged in; *lost* is called when it ends.

        Raises OSError, of which DialError says what the server said.
        """
        try:
            return await self._dial(lost)
        except UnicodeError as error:  # a name that no host can have
            raise DialError(f"{self._address} names no host: {error}") from None

    async def aclose(self) -> None:
        """Nothing is left of a line that was aborted."""

    async def _dial(self, lost: Lost) -> SocketLine:
        address = self._address
        if address.kind == "unix":
            loop = asyncio.get_running_loop()
            _, line = await loop.create_unix_connection(
                lambda: SocketLine(lost, max_reply=MAX_REPLY), address.path
            )
        else:
            host, port = (
                await self._ask_sentinels() if address.kind == "sentinel" else address.hosts[0]
            )
            line = await self._connect(host, port, lost)
        commands = self._login.commands()
        if address.database:
            commands.append(("SELECT", address.database))
        await _say(line, commands)
        return line

    async def _connect(self, host: str, port: int, lost: Lost) -> SocketLine:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(
            lambda: SocketLine(lost, max_reply=MAX_REPLY),
            host,
            port,
            ssl=self._tls,
            server_hostname=host if self._tls is not None else None,
        )
        return line

    async def _ask_sentinels(self) -> tuple[str, int]:
        problem: OSError = DialError("no Sentinel is configured")
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
        for _ in range(len(self._sentinels)):
            sentinel = self._sentinels[0]
            # Whoever does not answer, or not within the caller's budget, is asked last next time.
            self._sentinels.append(self._sentinels.pop(0))
            try:
                line = await self._connect(*sentinel, _not_minded)
            except OSError as error:
                problem = error
                continue
            try:
                reply = (await _say(line, [*self._sentinel_login.commands(), command]))[-1]
            except DialError as error:
                problem = error
                continue
            finally:
                line.abort()
            if isinstance(reply, list) and len(reply) == 2:
                self._sentinels.remove(sentinel)
                self._sentinels.insert(0, sentinel)
                host, port = reply
                return host.decode(), int(port)
            problem = DialError(f"the Sentinels know no service '{self._address.service}'")
        raise problem


async def _say(line: SocketLine, commands: Sequence[Command]) -> list[Any]:
    """The replies to *commands*; raises DialError with the first that is an error."""
    if not commands:
        return []
    future: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()

    def done(replies: Replies) -> None:
        if not future.done():
            future.set_result(replies)

    line.send(commands, done)
    try:
        replies = await future
    except asyncio.CancelledError:
        line.abort()
        raise
    if replies is None:
        raise DialError("the connection ended before a reply came")
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            line.abort()
            # The server's words hold no password: it repeats nothing of an AUTH.
            raise DialError(str(reply))
    return replies


def _not_minded(_: Line) -> None:
    """For a line whose end is known to whoever uses it."""
