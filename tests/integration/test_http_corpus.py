# SPDX-License-Identifier: Apache-2.0
"""The corpus of hostile and odd HTTP: each file is sent as it is, over both ways in.

A new file needs a line here: the statuses that it gets, and which bodies may reach the service.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.dataport import WAYS, data_port
from tests.support.edge import Service
from tests.support.http import Client, connect, request
from tests.support.v2 import body

FILES = {path.stem: path for path in (Path(__file__).parents[1] / "corpus" / "http").glob("*.http")}
MAX_BODY = 4096

# The bodies that the files hold. "smuggled" is a request that only some servers see.
PLAIN = {name: body(id=name) for name in ("a", "b", "smuggled")}
BODIES = PLAIN | {
    "nothing": b"",
    "a cut": PLAIN["a"][:-5],
    "request": request("POST", "/v2/models/m/infer", PLAIN["smuggled"]),
}
NAMES = {data: name for name, data in BODIES.items()}


class Outcome(NamedTuple):
    """The statuses in their order, the bodies that the service saw, and how it ended."""

    statuses: tuple[int, ...]
    seen: tuple[str, ...] = ()
    ends: str = "open"


REFUSED = Outcome((400,), (), "closed")
ALONE = Outcome((200,), ("a",), "closed")
TWO = Outcome((200, 200), ("a", "b"))
SECOND = Outcome((404, 200), ("b",))
WAITS = Outcome((), (), "waits")

# Those that come to the same.
SHARED: tuple[tuple[Outcome, str], ...] = (
    (
        TWO,
        """
        cl-leading-zeros cl-underscore-name connection-names-framing empty-line-before-request
        empty-lines-between-requests high-bytes-in-value host-empty host-ipv6 request-id-twice
        request-id-with-crlf-escaped routing-headers target-absolute-other-host
        target-absolute-userinfo target-query-with-request te-prefixed-name te-underscore-and-cl
        version-1.0-keep-alive
        """,
    ),
    # Where a second request is behind these it was sent at the sender's risk, and is not answered.
    (
        ALONE,
        """
        chunk-extension chunk-extension-20-kib chunk-size-leading-zeros chunk-size-upper-case
        chunks-of-one-byte expect-in-http-1.0 host-missing-in-http-1.0 te-behind-tab te-upper-case
        trailer-that-sets-header-length trailers upgrade-chunked upgrade-h2c-on-infer
        upgrade-without-connection
        """,
    ),
    (
        SECOND,
        """
        target-asterisk target-backslash target-dots target-escape-cut target-escaped-crlf
        target-escaped-nul target-escaped-overlong target-escaped-slash target-fragment
        target-scheme-relative unknown-path-with-request-as-body
        """,
    ),
    (
        WAITS,
        """
        chunk-size-of-64-bits chunks-without-end chunks-without-last-empty-line cl-long-by-five
        """,
    ),
    (
        Outcome((200,), (), "closed"),
        """
        get-with-chunked-request-as-body upgrade-h2c upgrade-h2c-then-preface upgrade-websocket
        """,
    ),
    (
        Outcome((100, 200, 200), ("a", "b")),
        "expect-continue-upper-case expect-continue-with-body expect-twice",
    ),
    (
        Outcome((400, 200), ("nothing", "b")),
        "cl-zero-then-request no-length-then-request",
    ),
    (
        Outcome((400, 200), ("a", "b")),
        "header-length-of-tensors-signed header-length-of-tensors-twice",
    ),
)

OUTCOMES: dict[str, Outcome] = {
    **{name: outcome for outcome, names in SHARED for name in names.split()},
    "chunks-empty": Outcome((400,), ("nothing",), "closed"),
    "chunks-over-the-limit": Outcome((413,)),
    "cl-over-the-limit": Outcome((413,), (), "closed"),
    "content-encoding-garbled": Outcome((400, 200), ("b",)),
    "content-encoding-list": Outcome((415, 200), ("smuggled",)),
    "content-encoding-unknown": Outcome((415, 200), ("b",)),
    "expect-continue-and-more": Outcome((417, 200), ("smuggled",)),
    "expect-continue-chunked": Outcome((100, 200), ("a",), "closed"),
    "expect-empty": Outcome((417,)),
    "expect-on-get": Outcome((200, 200), ("b",)),
    "expect-unknown-with-request-as-body": Outcome((417, 200), ("b",)),
    "get-with-request-as-body": Outcome((200, 200), ("b",)),
    "infer-with-request-as-body": Outcome((400, 200), ("request", "b")),
    "method-trace": Outcome((405, 200), ("b",)),
    "start-line-two-spaces": Outcome((200,), ("a",)),
    "target-absolute-no-path": Outcome((404,)),
    "target-authority": Outcome((404, 200), ("smuggled",)),
    "target-semicolon": Outcome((404, 200), ("a", "b")),
    "te-gzip-then-chunked": Outcome((501,), (), "closed"),
    "wrong-verb-with-chunked-request-as-body": Outcome((405,), (), "closed"),
    "wrong-verb-with-request-as-body": Outcome((405, 200), ("b",)),
}

# Where the lane answers a good request before it reads on, or waits for the end of a head, the
# other server reads all that has arrived before it answers anything.
BY_LANE = {
    "cl-short-by-five": Outcome((400, 400), ("a cut",), "closed"),
    "connection-close-then-request": ALONE,
    "cr-only": WAITS,
    "garbage-behind-request": Outcome((200, 400), ("a",), "closed"),
    "lf-only": WAITS,
}


def expected(name: str, way: str) -> Outcome:
    """What the file *name* must come to; most are refused."""
    outcome = OUTCOMES.get(name, REFUSED)
    return BY_LANE.get(name, outcome) if way == "lane" else outcome


async def probe(client: Client) -> None:
    """The connection is at the start of a request, and nothing is left of those before it."""
    headers = {"X-Request-Id": "probe", "Connection": "close"}
    answer = await client.ask("GET", "/v2/health/live", None, headers)
    assert (answer.status, answer.header("X-Request-Id")) == (200, "probe")


async def replay(way: str, name: str, raw: bytes, *, size: int = 1 << 20) -> Outcome:
    """What *raw* comes to when it is sent *size* bytes at a time."""
    service = Service()
    want = expected(name, way)
    async with data_port(service, way=way, max_body=MAX_BODY) as port, connect(port) as client:
        for at in range(0, len(raw), size):
            await client.send(raw[at : at + size])
        answers = [await client.receive() for _ in want.statuses]
        if want.ends == "open":
            await probe(client)
            ends = "open"
        else:
            last = answers[-1] if answers else None
            said = last is not None and (
                last.version != "HTTP/1.1" or last.header("Connection") == "close"
            )
            ends = "closed" if said else "waits"
            # A server that waits for the rest of a request ends it here at the latest.
            client.end()
        assert await client.closed(), "an answer too many"
    seen = tuple(NAMES.get(bytes(each.body), repr(each.body)) for each in service.exchanges)
    return Outcome(tuple(answer.status for answer in answers), seen, ends)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", sorted(FILES))
async def test_a_file_comes_to_what_it_should(name: str, way: str) -> None:
    """No fault of ours, no hang, and no request in it but those that RFC 9112 sees."""
    assert await replay(way, name, FILES[name].read_bytes()) == expected(name, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", sorted(name for name, want in OUTCOMES.items() if want == TWO))
async def test_it_does_not_matter_how_a_file_is_cut(name: str, way: str) -> None:
    """A line, a length or a body may come in any number of pieces."""
    assert await replay(way, name, FILES[name].read_bytes(), size=7) == TWO


def test_both_ways_agree_but_where_they_are_told_apart() -> None:
    """What the lane makes different is in one list, and never more than RFC 9112 allows."""
    assert all(expected(name, "aiohttp") == REFUSED for name in BY_LANE)
    assert all("smuggled" not in outcome.seen for outcome in BY_LANE.values())


def test_every_line_has_its_file() -> None:
    """An empty directory, or a line for a file that is gone, would test nothing."""
    assert len(FILES) >= 200
    assert OUTCOMES.keys() | BY_LANE.keys() <= FILES.keys()
