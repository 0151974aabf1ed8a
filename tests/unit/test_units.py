# SPDX-License-Identifier: Apache-2.0
"""Units are read as people write them, and nothing else is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.units import (
    ADDRESS,
    DURATION,
    SERVER_URL,
    SHARE,
    SIZE,
    WORKER_ADDRESS,
    Unit,
    format_duration,
    format_share,
    format_size,
    host_of,
    parse_address,
    parse_duration,
    parse_server_url,
    parse_share,
    parse_size,
    parse_worker_address,
)

UNITS = (DURATION, SIZE, SHARE, ADDRESS, WORKER_ADDRESS, SERVER_URL)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("1.5s", 1.5), ("10m", 600), ("2h", 7200), ("1d", 86400), ("50us", 5e-5),
     ("0", 0), ("0s", 0)],
)  # fmt: skip
def test_duration_becomes_seconds(text: str, seconds: float) -> None:
    """Every unit of time counts in seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 64 << 20), ("1GB", 10**9), ("1.5KiB", 1536), ("512B", 512), ("3KB", 3000),
     ("2GiB", 2 << 30), ("0", 0)],
)  # fmt: skip
def test_size_becomes_bytes(text: str, size: int) -> None:
    """Decimal units are powers of 1000, binary ones of 1024."""
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "share"), [("0.25", 0.25), ("25%", 0.25), ("1", 1), ("0%", 0)])
def test_share_becomes_a_number_from_0_to_1(text: str, share: float) -> None:
    """A share can be written as a number or in percent."""
    assert parse_share(text) == share


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (parse_duration, "5", "time with its unit"),
        (parse_duration, "5 s", "time with its unit"),
        (parse_duration, "-1s", "time with its unit"),
        (parse_duration, "1e3s", "time with its unit"),
        (parse_duration, "\N{ARABIC-INDIC DIGIT FIVE}s", "time with its unit"),
        (parse_size, "64", "size with its unit"),
        (parse_size, "64mb", "size with its unit"),
        (parse_size, "0.3B", "whole number of bytes"),
        (parse_share, "1.1", "from 0 to 1"),
        (parse_share, "101%", "from 0 to 1"),
        (parse_share, "nan", "from 0 to 1"),
        (parse_address, "8000", "HOST:PORT"),
        (parse_address, ":8000", "HOST:PORT"),
        (parse_address, "::1:8000", "HOST:PORT"),
        (parse_address, "localhost:70000", "at most 65535"),
        (parse_worker_address, "http://localhost:1", "unix:PATH or tcp:HOST:PORT"),
        (parse_worker_address, "unix:", "unix:PATH or tcp:HOST:PORT"),
        (parse_worker_address, "unix:" + "a" * 108, "at most 107 bytes"),
        (parse_worker_address, "tcp:localhost", "tcp:HOST:PORT"),
        (parse_worker_address, "tcp:localhost:0", "the port that the worker listens on"),
    ],
)
def test_anything_else_is_refused_with_what_was_expected(
    parse: Callable[[str], object], text: str, words: str
) -> None:
    """The message says what the right form is and repeats what was given."""
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse(text)
    assert text in str(caught.value)


@pytest.mark.parametrize("text", ["127.0.0.1:8000", "[::1]:80", "localhost:0"])
def test_address_is_kept_as_it_is(text: str) -> None:
    """An address that is one stays text."""
    assert parse_address(text) == text


@pytest.mark.parametrize("text", ["unix:/run/a.sock", "tcp:10.0.0.7:9000", "tcp:[::1]:9000"])
def test_worker_address_is_kept_as_it_is(text: str) -> None:
    """So does that of a worker."""
    assert parse_worker_address(text) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (0.1, "100ms"), (60, "1m"), (90, "90s"), (3600, "1h"),
     (1.5, "1500ms"), (1e-6, "1us"), (86400, "1d")],
)  # fmt: skip
def test_duration_is_written_in_the_largest_unit_that_leaves_it_whole(
    seconds: float, text: str
) -> None:
    """A default reads as a person would have written it."""
    assert format_duration(seconds) == text


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_duration_survives_being_written_and_read(seconds: float) -> None:
    """What is written is read as the same time, to a billionth or a femtosecond."""
    again = parse_duration(format_duration(seconds))
    assert math.isclose(again, seconds, rel_tol=1e-9, abs_tol=1e-15)


@given(st.integers(min_value=0, max_value=2**49))
def test_size_survives_being_written_and_read(size: int) -> None:
    """What is written is read as the same size, to the byte."""
    assert parse_size(format_size(size)) == size


@given(st.integers(min_value=0, max_value=10**9))
def test_share_survives_being_written_and_read(billionths: int) -> None:
    """What is written is read as the same share."""
    share = billionths / 10**9
    assert math.isclose(parse_share(format_share(share)), share, abs_tol=1e-9)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
@given(text=st.text(max_size=20) | st.from_regex(r"[0-9]{1,6}(\.[0-9])?[a-zA-Z%:]{0,4}"))
def test_any_text_is_a_value_or_a_fault(unit: Unit, text: str) -> None:
    """Whatever is given, the only error is the one that explains; what is read fits the pattern."""
    try:
        unit.parse(text)
    except ValueError:
        return
    assert re.search(unit.pattern, text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("http://10.0.0.7:8000", ("10.0.0.7", 8000)),
        ("http://triton.models.svc", ("triton.models.svc", 80)),
        ("https://triton.models.svc/", ("triton.models.svc", 443)),
        ("https://[::1]:8443", ("::1", 8443)),
        ("http://[::1]", ("::1", 80)),
    ],
)
def test_a_server_url_is_a_place(text: str, place: tuple[str, int]) -> None:
    """With the port of its scheme where it names none."""
    assert host_of(parse_server_url(text)) == place


def test_the_place_of_a_worker_is_found_the_same_way() -> None:
    """A name or an address, and a port."""
    assert host_of("tcp:workers.svc:9000") == ("workers.svc", 9000)
    assert host_of("tcp:[::1]:9000") == ("::1", 9000)


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.7:8000", "ftp://h:1", "http://", "http://h:0", "http://h:65536", "http://h/v2",
     "http://h:1?x=1", "http://h:1#x", "http://h h:1", "HTTP://h:1", "http://h:1/\n"],
)  # fmt: skip
def test_other_server_urls_are_refused(text: str) -> None:
    """With what would be right."""
    with pytest.raises(ValueError, match=r"expected http://HOST:PORT or https://HOST:PORT"):
        parse_server_url(text)


def test_a_key_in_a_url_is_refused_and_not_repeated() -> None:
    """It would stand in logs and labels."""
    with pytest.raises(ValueError, match=r"remote\.headers") as raised:
        parse_server_url("http://user:s3cret@h:1")
    assert "s3cret" not in str(raised.value)
