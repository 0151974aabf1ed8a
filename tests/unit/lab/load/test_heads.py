# SPDX-License-Identifier: Apache-2.0
"""What is read from the head of an answer."""

import pytest

from gateway.lab.load.heads import (
    UNKNOWN,
    MalformedHead,
    add_timing,
    cache_result,
    note,
    outcome,
    read_head,
)
from gateway.lab.load.recorder import CODES, OK, Tally
from gateway.lab.load.run import Timing

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: a\r\n"
    b"Cache-Status: far; fwd=miss, Infergate; hit; ttl=5\r\nServer-Timing: queue;dur=1.5, "
    b'infer;desc="a b";dur=2\r\nInfergate-Backend: Digits-0\r\n'
    b"Infergate-Model-Digest: ABC\r\nContent-Length: 12\r\n"
)


def test_a_plain_head_says_where_its_body_ends() -> None:
    """Whatever the case of its names."""
    assert read_head(HEAD.lower()) == (200, 12, True)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"http/1.1 503 no\r\ncontent-length:7\r\nconnection: close\r\n", (503, 7, False)),
        (b"http/1.0 200 ok\r\ncontent-length: 7\r\n", (200, 7, False)),
        (b"http/1.1 200 ok\r\ntransfer-encoding: chunked\r\n", (200, UNKNOWN, True)),
        (b"http/1.1 200 ok\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n",
         (200, UNKNOWN, True)),
        (b"http/1.1 100 continue\r\n", (100, UNKNOWN, True)),
        (b"http/1.1 204 none\r\n", (204, 0, True)),
    ],
)  # fmt: skip
def test_other_heads_are_told_apart(head: bytes, expected: tuple[int, int, bool]) -> None:
    """What has no plain length is left to a whole parser."""
    assert read_head(head) == expected


@pytest.mark.parametrize(
    "head", [b"ssh-2.0\r\n", b"http/1.1 2x0 ok\r\n", b"http/1.1 200 ok\r\ncontent-length: -1\r\n",
             b"http/1.1 200 ok\r\ncontent-length: 1e3\r\n", b"http/2 200\r\n"],
)  # fmt: skip
def test_what_is_no_head_is_refused(head: bytes) -> None:
    """It counts as malformed, not as an answer."""
    with pytest.raises(MalformedHead):
        read_head(head)


def test_what_the_server_says_of_itself_is_summed() -> None:
    """Names in any case, values as they are; milliseconds become seconds."""
    tally = Tally()

    note(HEAD, HEAD.lower(), tally)
    note(HEAD, HEAD.lower(), tally)

    assert tally.server_timing == {
        "queue": Timing(seconds=0.003, count=2),
        "infer": Timing(seconds=0.004, count=2),
    }
    assert tally.cache == {"hit": 2}
    assert tally.backends == {"Digits-0": 2}
    assert tally.digests == {"ABC": 2}


@pytest.mark.parametrize(
    ("line", "word"),
    [(b"infergate; hit", "hit"), (b"x; fwd=uri-miss; stored", "uri-miss"),
     (b"a; hit, b; fwd=stale", "stale"), (b"odd", "unknown")],
)  # fmt: skip
def test_the_nearest_cache_decides(line: bytes, word: str) -> None:
    """RFC 9211 lists caches from the far end to ours."""
    assert cache_result(line) == word


def test_odd_timings_are_passed_by() -> None:
    """A server may say what it likes; a flood of names is not kept."""
    timings: dict[str, Timing] = {}

    add_timing(b'miss, a;dur=x, b;desc=y, c;dur="3"', timings)
    add_timing(b",".join(b"n%d;dur=1" % number for number in range(200)), timings)

    assert timings["c"].seconds == 0.003
    assert "a" not in timings
    assert len(timings) == 64


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, OK), (204, OK), (404, CODES["client_error"]), (429, CODES["shed"]),
     (503, CODES["shed"]), (500, CODES["server_error"]), (504, CODES["server_error"]),
     (302, CODES["malformed"])],
)  # fmt: skip
def test_statuses_are_kinds(status: int, code: int) -> None:
    """A server that sheds is told apart from one that fails."""
    assert outcome(status) == code
