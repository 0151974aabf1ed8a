# SPDX-License-Identifier: Apache-2.0
"""Heads: which requests are plain enough for the fast lane; every other one is not its business."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.edge.framing import MAX_LINE
from gateway.edge.head import MAX_HEADERS, Head, Heads
from gateway.wire.message import NO_RULES

TARGET = b"/v2/models/m/infer"


def head(
    *lines: bytes, start: bytes = b"POST " + TARGET + b" HTTP/1.1", host: bytes = b"Host: a"
) -> bytes:
    """A request head; without *lines* a plain one that announces 5 bytes."""
    all_lines = [start, host, *(lines or (b"Content-Length: 5",))]
    return b"".join(line + b"\r\n" for line in all_lines if line) + b"\r\n"


def read(raw: bytes, *, max_body: int = 1000) -> Head | None:
    """What the lane makes of *raw* at first sight; it must be the same at the second."""
    heads = Heads(max_body=max_body)
    first = heads.read(raw)
    second = heads.read(raw)
    assert (first is None) == (second is None)
    return first


# Plain.


def test_a_plain_head_is_taken() -> None:
    """With all that the request needs."""
    taken = read(
        head(
            b"content-LENGTH: 5",
            b"Inference-Header-Content-Length:   3\t",
            b"X-Request-Id: abc",
            b"X-Latin: \xe9",
        )
    )
    assert taken is not None
    assert taken.length == 5
    assert taken.target == "/v2/models/m/infer"
    assert taken.route.model == "m"
    assert taken.request_id == "abc"
    assert taken.keep_alive
    assert taken.rules is NO_RULES
    assert taken.headers["inference-header-content-length"] == "3"
    assert taken.headers["x-latin"] == "\xe9"


@pytest.mark.parametrize(
    ("connection", "keep"), [(b"close", False), (b"keep-alive", True), (b"Keep-Alive", True)]
)
def test_connection_says_whether_another_request_may_come(connection: bytes, *, keep: bool) -> None:
    """HTTP/1.1 keeps connections unless told otherwise."""
    taken = read(head(b"Content-Length: 5", b"Connection: " + connection))
    assert taken is not None
    assert taken.keep_alive is keep


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
def test_connection_is_obeyed_without_a_body_too(connection: bytes) -> None:
    """The parser has seen the end of such a request, and forgotten what its head said."""
    taken = read(head(b"Connection: " + connection, b"Content-Length: 0"))
    assert taken is not None
    assert taken.keep_alive is (connection == b"keep-alive")


@pytest.mark.parametrize("target", [b"/v2/models/m/versions/1/infer", b"/v1/models/m:predict"])
def test_all_inference_targets_are_taken(target: bytes) -> None:
    """Both protocols, with and without a version."""
    assert read(head(start=b"POST " + target + b" HTTP/1.1")) is not None


def test_cache_control_is_read_with_the_head() -> None:
    """So that a remembered head brings its rules with it."""
    taken = read(head(b"Content-Length: 5", b"Cache-Control: no-store"))
    assert taken is not None
    assert taken.rules.no_store


def test_a_request_id_that_does_not_fit_is_not_kept() -> None:
    """It would be echoed; a fresh one is made instead."""
    taken = read(head(b"Content-Length: 5", b"X-Request-Id: a b<c>"))
    assert taken is not None
    assert taken.request_id == ""


def test_the_limit_of_the_body_is_inclusive() -> None:
    """The other server refuses what is above, with the right words."""
    assert read(head(b"Content-Length: 1000"), max_body=1000) is not None
    assert read(head(b"Content-Length: 1001"), max_body=1000) is None


# Not plain.


@pytest.mark.parametrize(
    "lines",
    [
        (b"X-Nothing: 1",),
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length: +5",),
        (b"Content-Length: -5",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: 5.0",),
        (b"Content-Length: 5 5",),
        (b"Content-Length: 1_0",),
        (b"Content-Length:",),
        (b"Content-Length: \xd9\xa5",),
        (b"Content-Length: 99999999999999999999",),
        (b"Content-Length: 0000000000005",),
        (b"Content_Length: 5",),
        (b"Content-Length: 5", b"Content_Length: 6"),
        (b"Content-Length : 5",),
        (b" Content-Length: 5",),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked",),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Transfer-Encoding: identity", b"Content-Length: 5"),
        (b"Transfer-Encoding:\x0bchunked", b"Content-Length: 5"),
        (b"Transfer-Encoding : chunked", b"Content-Length: 5"),
        (b"Transfer_Encoding: chunked", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Expect: 100-continue"),
        (b"Content-Length: 5", b"Upgrade: websocket"),
        (b"Content-Length: 5", b"Connection: Upgrade", b"Upgrade: h2c"),
        (b"Content-Length: 5", b"Connection: close, X-Other"),
        (b"Content-Length: 5", b"Connection: content-length"),
        (b"Content-Length: 5", b"Content-Encoding: gzip"),
        (b"Content-Length: 5", b"Trailer: X-Sum"),
        (b"Content-Length: 5", b"TE: trailers"),
        (b"Content-Length: 5", b"Host: b"),
        (b"Content-Length: 5", b"X-Twice: 1", b"X-Twice: 1"),
        (b"Content-Length: 5", b"X-Fold: a", b" b"),
        (b"Content-Length: 5", b"X-Fold: a", b"\tb"),
        (b"Content-Length: 5", b"X-Fold:", b" Transfer-Encoding: chunked"),
        (b"Content-Length: 5\nTransfer-Encoding: chunked",),
        (b"Content-Length: 5", b"X: a\rTransfer-Encoding: chunked"),
        (b"Content-Length: 5", b"X: a\0b"),
        (b"Content-Length: 5", b"X\0: b"),
        (b"Content-Length: 5", b"X: a\x7f"),
        (b"Content-Length: 5", b": nameless"),
        (b"Content-Length: 5", b"no colon"),
        (b"Content-Length: 5", b"Content-Type: image/png"),
        (b"Content-Length: 5", b"content-type:  MULTIPART/form-data; boundary=a"),
        (b"Content-Length: 5", b"X\xe9: name"),
        (b"Content-Length: 5", b"X(y): name"),
    ],
    ids=repr,
)
def test_a_second_thought_is_not_plain(lines: tuple[bytes, ...]) -> None:
    """Whatever two servers might read in two ways, and whatever needs more than a plain answer."""
    assert read(head(*lines)) is None


@pytest.mark.parametrize(
    "start",
    [
        b"GET " + TARGET + b" HTTP/1.1",
        b"PUT " + TARGET + b" HTTP/1.1",
        b"post " + TARGET + b" HTTP/1.1",
        b"POST  " + TARGET + b" HTTP/1.1",
        b"POST " + TARGET + b"  HTTP/1.1",
        b"POST " + TARGET + b" HTTP/1.0",
        b"POST " + TARGET + b" HTTP/1.2",
        b"POST " + TARGET + b" HTTP/2.0",
        b"POST " + TARGET + b" http/1.1",
        b"POST " + TARGET,
        b"POST " + TARGET + b" HTTP/1.1 ",
        b"POST\t" + TARGET + b" HTTP/1.1",
        b"POST http://a" + TARGET + b" HTTP/1.1",
        b"POST /" + TARGET + b" HTTP/1.1",
        b"POST /v2/models/m/infer/ HTTP/1.1",
        b"POST /v2/models/a%2fb/infer HTTP/1.1",
        b"POST /v2/models/../models/m/infer HTTP/1.1",
        b"POST /v2/models/m/infer\0 HTTP/1.1",
        b"POST /v2/models/m\xff/infer HTTP/1.1",
        b"POST /v2 HTTP/1.1",
        b"POST / HTTP/1.1",
        b" POST " + TARGET + b" HTTP/1.1",
        b"\r\nPOST " + TARGET + b" HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"PRI * HTTP/2.0",
    ],
    ids=repr,
)
def test_another_start_line_is_not_plain(start: bytes) -> None:
    """Another method, version, form of target or number of spaces."""
    assert read(head(start=start)) is None


def test_a_head_without_a_host_is_not_plain() -> None:
    """HTTP/1.1 requires one; the other server says so."""
    assert read(head(host=b"")) is None


def test_bare_line_feeds_are_not_plain() -> None:
    """Some servers end a line there, and some do not."""
    assert read(head().replace(b"\r\n", b"\n")) is None
    assert read(head().replace(b"Host: a\r\n", b"Host: a\n")) is None


def test_too_many_headers_are_not_plain() -> None:
    """The number is bounded on both ways."""
    lines = [b"X-%d: 1" % number for number in range(MAX_HEADERS)]
    assert read(head(b"Content-Length: 5", *lines[: MAX_HEADERS - 2])) is not None
    assert read(head(b"Content-Length: 5", *lines)) is None


@pytest.mark.parametrize("host", [b"a b", b"a@b", b"a/b", b"a:b", b"\xe9"])
def test_a_host_that_is_none_is_not_plain(host: bytes) -> None:
    """The other server says what is wrong with it."""
    assert read(head(host=b"Host: " + host)) is None


def test_a_line_is_no_longer_than_on_the_other_way() -> None:
    """A name and its value together, and a target."""
    for over, taken in ((0, True), (1, False)):
        value = b"X-A: " + b"a" * (MAX_LINE - 3 + over)
        assert (read(head(b"Content-Length: 5", value)) is not None) is taken
        target = TARGET + b"?" + b"a" * (MAX_LINE - len(TARGET) - 1 + over)
        assert (read(head(start=b"POST " + target + b" HTTP/1.1")) is not None) is taken


# Memory.


def test_the_same_bytes_are_read_once() -> None:
    """And one byte more is another head."""
    heads = Heads(max_body=10)
    assert heads.read(head()) is heads.read(head())
    assert heads.read(head(b"Content-Length: 6")) is not heads.read(head())
    assert repr(heads) == "<Heads 2 remembered>"


def test_what_is_refused_is_not_remembered() -> None:
    """Nobody can fill the memory with what is not plain."""
    heads = Heads(max_body=10)
    for number in range(100):
        assert heads.read(head(b"X: %d" % number)) is None
    assert repr(heads) == "<Heads 0 remembered>"


def test_the_memory_is_bounded() -> None:
    """Heads that change with every request turn it over, and never make it grow."""
    heads = Heads(max_body=10)
    for number in range(3000):
        assert heads.read(head(b"Content-Length: 5", b"X-Request-Id: %d" % number)) is not None
    assert len(heads.known) <= 1024
    long = head(b"Content-Length: 5", b"X: " + b"a" * 4000)
    assert heads.read(long) is not None
    assert long not in heads.known


# Agreement.


class Told:
    """What llhttp says of a whole message."""

    def __init__(self) -> None:
        self.messages = 0
        self.heads = 0
        self.body = b""

    def on_headers_complete(self) -> None:
        """Count."""
        self.heads += 1

    def on_body(self, body: bytes) -> None:
        """Gather."""
        self.body += body

    def on_message_complete(self) -> None:
        """Count."""
        self.messages += 1


NAMES = st.sampled_from([
    b"Host", b"Content-Length", b"content-length", b"Transfer-Encoding", b"Connection", b"X-A",
    b"Expect", b"Content-Length ", b" X", b"X_A", b"X-\xe9", b"", b"Cookie",
])  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([b"5", b"0", b"a", b"chunked", b"close", b"+5", b"05", b"5, 5", b"keep-alive"]),
    st.binary(max_size=6),
)
STARTS = st.sampled_from([
    b"POST " + TARGET + b" HTTP/1.1", b"POST /v1/models/m:predict HTTP/1.1",
    b"POST / HTTP/1.1", b"GET / HTTP/1.1", b"POST " + TARGET + b"?a=b#c HTTP/1.1",
])  # fmt: skip
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n "])


@st.composite
def heads_of_any_kind(draw: st.DrawFn) -> bytes:
    """Something between a plain head and noise, ending as the lane cuts it."""
    parts = [draw(STARTS), draw(ENDS), b"Host: a\r\n"]
    for _ in range(draw(st.integers(0, 4))):
        parts += [draw(NAMES), draw(st.sampled_from([b": ", b":", b" : "])), draw(VALUES)]
        parts.append(draw(ENDS))
    if draw(st.booleans()):
        parts.append(b"Content-Length: 5\r\n")
    raw = b"".join(parts) + b"\r\n\r\n"
    return raw[: raw.find(b"\r\n\r\n") + 4]


@given(st.one_of(heads_of_any_kind(), st.binary(max_size=80).map(lambda raw: raw + b"\r\n\r\n")))
@example(head())
@example(head(b"Content-Length: 0"))
def test_what_is_taken_is_one_message_to_llhttp(raw: bytes) -> None:
    """Never an error; a head that is taken ends where the lane cut it, with the same length."""
    taken = read(raw)
    if taken is None:
        return
    told = Told()
    body = b"x" * taken.length
    parser = httptools.HttpRequestParser(told)
    parser.feed_data(raw + body)
    assert (told.heads, told.messages, told.body) == (1, 1, body)
    if taken.keep_alive:
        parser.feed_data(raw + body)
        assert (told.heads, told.messages) == (2, 2)
