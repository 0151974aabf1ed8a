# SPDX-License-Identifier: Apache-2.0
"""gzip and deflate."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.content_coding import answer_coding, deflate, inflate, request_coding
from gateway.errors import ClientError, InvalidRequest, TooLarge, UnsupportedEncoding


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        ("", ""), ("identity", ""), ("gzip", "gzip"), ("GZIP", "gzip"), (" x-gzip ", "gzip"),
        ("deflate", "deflate"),
    ],
)  # fmt: skip
def test_a_coding_is_known_by_its_names(value: str, coding: str) -> None:
    """In any case, and identity is none."""
    assert request_coding(value) == coding


@pytest.mark.parametrize("value", ["br", "zstd", "gzip, gzip", "gzip,deflate", "gzip;q=1"])
def test_any_other_coding_is_refused(value: str) -> None:
    """One on top of another too."""
    with pytest.raises(UnsupportedEncoding, match="send gzip, deflate or identity"):
        request_coding(value)


def bare(data: bytes) -> bytes:
    """*data* deflated without zlib's header, as some clients do it."""
    machine = zlib.compressobj(wbits=-15)
    return machine.compress(data) + machine.flush()


@given(st.binary(max_size=300))
def test_what_was_compressed_comes_back(data: bytes) -> None:
    """Ours and that of others, in all three forms."""
    for coding, packed in (
        ("gzip", gzip.compress(data)),
        ("deflate", zlib.compress(data)),
        ("deflate", bare(data)),
        ("gzip", deflate(data, "gzip")),
        ("deflate", deflate(data, "deflate")),
    ):
        assert inflate(packed, coding, len(data)) == data


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_stopped_at_the_limit(coding: str) -> None:
    """64 MiB of zeros in 64 KiB: nothing of that size is ever made."""
    bomb = deflate(bytes(64 << 20), coding)
    tracemalloc.start()
    with pytest.raises(TooLarge, match="more than 1048576 bytes once decompressed"):
        inflate(bomb, coding, 1 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_the_limit_itself_is_allowed() -> None:
    """One byte more is not."""
    packed = gzip.compress(bytes(100))
    assert len(inflate(packed, "gzip", 100)) == 100
    with pytest.raises(TooLarge):
        inflate(packed, "gzip", 99)


@pytest.mark.parametrize(
    ("body", "coding", "says"),
    [
        (b"", "gzip", "ends too early"),
        (gzip.compress(b"abc")[:-1], "gzip", "ends too early"),
        (gzip.compress(b"abc") + b"x", "gzip", "data follows the end"),
        (gzip.compress(b"abc") * 2, "gzip", "data follows the end"),
        (b"plain", "gzip", "Content-Encoding is gzip, the body is not"),
        (b"\xff\xff\xff", "deflate", "Content-Encoding is deflate, the body is not"),
        (gzip.compress(b"abc"), "deflate", "Content-Encoding is deflate, the body is not"),
    ],
)
def test_what_is_not_one_whole_stream_is_refused(body: bytes, coding: str, says: str) -> None:
    """Cut off, followed by more, or nothing of the kind."""
    with pytest.raises(InvalidRequest, match=says):
        inflate(body, coding, 1000)


@given(st.binary(max_size=60), st.sampled_from(["gzip", "deflate"]))
def test_noise_is_refused_or_small(noise: bytes, coding: str) -> None:
    """Whatever comes, the worst outcome is a ClientError."""
    with suppress(ClientError):
        assert len(inflate(noise, coding, 500)) <= 500


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", ""), ("gzip", "gzip"), ("gzip, deflate", "gzip"), ("deflate, gzip", "deflate"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"), ("gzip;q=0", ""), ("br, zstd", ""),
        ("identity", ""), ("*", ""), ("GZIP; q=1.0", "gzip"), ("gzip;q=x", ""), ("gzip;q=2", ""),
    ],
)  # fmt: skip
def test_the_answers_coding_is_the_best_that_is_accepted(accepted: str, coding: str) -> None:
    """By quality, then by order; none where nothing fits."""
    assert answer_coding(accepted) == coding
