# SPDX-License-Identifier: Apache-2.0
"""ClusterLine: the nodes of a Redis Cluster as one line, by way of redis-py's own client.

That client follows the slots from node to node. It costs more a call than a line of our own, which
is the price of a cluster (`docs/decisions/0023-our-own-line-to-redis.md`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import hiredis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from gateway.stores.dial import DialError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from gateway.stores.address import RedisAddress
    from gateway.stores.dial import Login
    from gateway.stores.line import Command, Lost, Replies

# What redis-py raises when nodes are away; the second is none of the first.
_AWAY: Final = (RedisError, RedisClusterException, OSError)
# Commands of one key that leave together, node by node.
_TOGETHER: Final = frozenset({"GET", "SET"})


class ClusterDial:
    """Connects to the cluster at *address*; *tls* are redis-py's own options."""

    def __init__(
        self,
        address: RedisAddress,
        *,
        login: Login,
        timeout: float,
        connect_timeout: float,
        tls: dict[str, Any],
    ) -> None:
        self._address = address
        self._login = login
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._tls = tls
        # What lines do, kept here because their ends outlast them.
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<ClusterDial {self._address} {self._login!r}>"

    async def __call__(self, lost: Lost) -> ClusterLine:
        """A line to all nodes; raises DialError where none says how they share the slots."""
        client = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in self._address.hosts],
            # The nodes that are there serve their part.
            require_full_coverage=False,
            retry=Retry(NoBackoff(), 1),
            username=self._login.username or None,
            password=self._login.password or None,
            socket_timeout=self._timeout,
            socket_connect_timeout=self._connect_timeout,
            **self._tls,
        )
        try:
            await client.initialize()
        except (*_AWAY, UnicodeError) as error:
            raise DialError(f"{self._address}: {type(error).__name__}") from None
        return ClusterLine(client, lost, self._tasks)

    async def aclose(self) -> None:
        """Wait for the ends of all lines."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


class ClusterLine:
    """Sends commands to the nodes that hold their keys; see `Line`."""

    def __init__(self, client: RedisCluster, lost: Lost, tasks: set[asyncio.Task[None]]) -> None:
        self._client = client
        self._lost = lost
        self._all_tasks = tasks
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = True
        self.congested = False

    def __repr__(self) -> str:
        return f"<ClusterLine {'open' if self._open else 'closed'} {len(self._tasks)} asked>"

    @property
    def waited_for(self) -> bool:
        """See `Line.waited_for`."""
        return bool(self._tasks)

    def send(self, commands: Sequence[Command], done: Callable[[Replies], None]) -> None:
        """See `Line.send`."""
        if not self._open:
            done(None)
            return
        self._keep(self._run(commands, done))

    def abort(self) -> None:
        """See `Line.abort`."""
        if self._open:
            self._open = False
            asked = list(self._tasks)
            for task in asked:
                task.cancel()
            self._keep(self._end(asked))
            self._lost(self)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        for tasks in (self._tasks, self._all_tasks):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _end(self, asked: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*asked, return_exceptions=True)
        nodes = self._client.nodes_manager
        await self._client.aclose()
        # The client leaves its connections open where it was about to look for the nodes anew.
        for each in ("nodes_cache", "startup_nodes"):
            await nodes.aclose(each)

    async def _run(self, commands: Sequence[Command], done: Callable[[Replies], None]) -> None:
        replies: Replies = None
        try:
            replies = await self._replies(commands)
        except _AWAY:
            # A node is gone; the client looks for the others by itself.
            pass
        finally:
            done(replies)

    async def _replies(self, commands: Sequence[Command]) -> list[Any]:
        """One reply for each of *commands*; those of one key that are many leave together."""
        single: list[Command] = []
        for command in commands:
            single += [("GET", key) for key in command[1:]] if command[0] == "MGET" else [command]
        if all(command[0] in _TOGETHER for command in single):
            pipeline = self._client.pipeline()
            for command in single:
                pipeline.execute_command(*command)
            found = await pipeline.execute(raise_on_error=False)
        else:
            found = await asyncio.gather(*[self._ask(command) for command in single])
        answers = iter([_reply(each) for each in found])
        replies: list[Any] = []
        for command in commands:
            if command[0] == "MGET":
                # What a node that is gone would have had is a miss; the others' share is not.
                share = [next(answers) for _ in command[1:]]
                replies.append([None if isinstance(e, Exception) else e for e in share])
            else:
                replies.append(next(answers))
        return replies

    async def _ask(self, command: Command) -> object:
        try:
            return await self._client.execute_command(*command)
        except ResponseError as error:
            return error


def _reply(found: object) -> object:
    """What a line of our own would have given for what redis-py has made of a reply."""
    if isinstance(found, Exception):
        return hiredis.ReplyError(f"{type(found).__name__} {found}")
    if found is True:
        return b"OK"
    if isinstance(found, dict):
        return [part for pair in found.items() for part in pair]
    return found
