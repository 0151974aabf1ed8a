# SPDX-License-Identifier: Apache-2.0
"""Heads of answers: what a load generator needs to know of one, found by searching bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.lab.load.recorder import CODES, OK
from gateway.lab.load.run import Timing

if TYPE_CHECKING:
    from gateway.lab.load.recorder import Tally

_SHED: Final = frozenset({429, 503})
_LENGTH: Final = b"\r\ncontent-length:"
_CHUNKED: Final = b"\r\ntransfer-encoding:"
_CLOSE: Final = b"\r\nconnection: close"
_TIMING: Final = b"\r\nserver-timing:"
_CACHE: Final = b"\r\ncache-status:"
_BACKEND: Final = b"\r\ninfergate-backend:"
_DIGEST: Final = b"\r\ninfergate-model-digest:"
# So many different names are told apart; the rest is "other".
_NAMES: Final = 64
# Of a body whose end is not known from its head.
UNKNOWN: Final = -1


class MalformedHead(ValueError):
    """What came is not the head of an HTTP/1 answer."""


def read_head(head: bytes) -> tuple[int, int, bool]:
    """Status, length of the body, and whether the connection stays open, of a lower-case *head*.

    It ends with the line break before the empty line. The length is UNKNOWN for a body in chunks
    or until the end of the connection. Raises MalformedHead.
    """
    if not head.startswith(b"http/1.") or not head[9:12].isdigit():
        raise MalformedHead
    status = int(head[9:12])
    keep = _CLOSE not in head and head.startswith(b"http/1.1 ")
    at = head.find(_LENGTH)
    if at < 0 or _CHUNKED in head:
        if status == 204 or status == 304:  # noqa: PLR1714 - quicker on the hot path
            return status, 0, keep
        return status, UNKNOWN, keep
    at += len(_LENGTH)
    try:
        length = int(head[at : head.index(b"\r", at)])
    except ValueError:
        raise MalformedHead from None
    if length < 0:
        raise MalformedHead
    return status, length, keep


def outcome(status: int) -> int:
    """What an answer with *status* counts as; no success but 2xx."""
    if 200 <= status < 300:
        return OK
    if status in _SHED:
        return CODES["shed"]
    if 400 <= status < 500:
        return CODES["client_error"]
    return CODES["server_error"] if status >= 500 else CODES["malformed"]


def note(head: bytes, lower: bytes, tally: Tally) -> None:
    """Add to *tally* what the server says of itself in *head*, which is also given in *lower*."""
    timing = value(head, lower, _TIMING)
    if timing:
        add_timing(timing, tally.server_timing)
    cache = value(head, lower, _CACHE)
    if cache:
        count(tally.cache, cache_result(cache))
    backend = value(head, lower, _BACKEND)
    if backend:
        count(tally.backends, backend.decode("latin-1"))
        digest = value(head, lower, _DIGEST)
        if digest:
            count(tally.digests, digest.decode("latin-1"))


def value(head: bytes, lower: bytes, name: bytes) -> bytes:
    r"""What stands in *head* behind *name*, of the form ``\r\nname:`` in *lower*; else empty."""
    at = lower.find(name)
    if at < 0:
        return b""
    at += len(name)
    return head[at : head.find(b"\r", at)].strip()


def count(counts: dict[str, int], name: str) -> None:
    """One more of *name*."""
    if name not in counts and len(counts) >= _NAMES:
        name = "other"
    counts[name] = counts.get(name, 0) + 1


def add_timing(line: bytes, timings: dict[str, Timing]) -> None:
    """Add the durations of a ``Server-Timing`` value, which are milliseconds."""
    for entry in line.split(b","):
        name, _, parameters = entry.partition(b";")
        at = parameters.find(b"dur=")
        if at < 0:
            continue
        try:
            seconds = float(parameters[at + 4 :].partition(b";")[0].strip(b' "')) / 1e3
        except ValueError:
            continue
        key = name.strip().decode("latin-1")
        timing = timings.get(key)
        if timing is None:
            if len(timings) >= _NAMES:
                continue
            timing = timings[key] = Timing()
        timing.seconds += seconds
        timing.count += 1


def cache_result(line: bytes) -> str:
    """The word for a ``Cache-Status`` value: "hit", or why it was forwarded, as "miss"."""
    # Of several caches the last one in the line is the nearest to us.
    nearest = line.rpartition(b",")[2]
    for parameter in nearest.split(b";")[1:]:
        name, _, said = parameter.strip().partition(b"=")
        if name == b"hit":
            return "hit"
        if name == b"fwd":
            return said.decode("latin-1").strip('"')
    return "unknown"
