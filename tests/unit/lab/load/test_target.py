# SPDX-License-Identifier: Apache-2.0
"""Where a URL points to."""

import pytest

from gateway.lab import LabError
from gateway.lab.load.run import Plan, Protocol
from gateway.lab.load.server import growth, reason
from gateway.lab.load.target import Target, target_of


@pytest.mark.parametrize(
    ("url", "protocol", "expected"),
    [
        ("http://h:8000/base", "v2-json", Target("h", 8000, tls=False)),
        ("http://h", "v1", Target("h", 80, tls=False)),
        ("https://[::1]", "v2-binary", Target("::1", 443, tls=True)),
        ("grpc://h:1", "grpc", Target("h", 1, tls=False)),
        ("h:1", "grpc", Target("h", 1, tls=False)),
        ("grpcs://h:1", "grpc", Target("h", 1, tls=True)),
        ("http://h:1", "grpc", Target("h", 1, tls=False)),
    ],
)
def test_hosts_and_ports(url: str, protocol: Protocol, expected: Target) -> None:
    """With the scheme's own port where there is one."""
    assert target_of(Plan(url=url, model="m", protocol=protocol)) == expected


@pytest.mark.parametrize(
    ("url", "protocol", "says"),
    [
        ("h:1", "v2-json", "URL 'h:1': expected http://HOST:PORT"),
        ("grpc://h:1", "v2-json", "expected http://HOST:PORT"),
        ("grpc://h", "grpc", "expected grpc://HOST:PORT, with its port"),
        ("http://h:99999", "v2-json", "expected http://HOST:PORT"),
        ("http://u:p4ss@h", "v2-json", "give a key with --header"),
        ("ftp://u:p4ss@h", "v2-json", "URL: expected http://HOST:PORT"),
    ],
)
def test_other_urls_are_refused(url: str, protocol: Protocol, says: str) -> None:
    """Without saying what may be a secret."""
    with pytest.raises(LabError) as refused:
        target_of(Plan(url=url, model="m", protocol=protocol))
    assert says in str(refused.value)
    assert "p4ss" not in str(refused.value)


def test_an_address_is_one_text() -> None:
    """An IPv6 address has brackets."""
    assert Target("::1", 8, tls=False).address == "[::1]:8"
    assert Target("h", 8, tls=False).address == "h:8"


def test_counters_grow_and_words_stay() -> None:
    """Triton's statistics are counters since its start, nested at will."""
    before = {"model_stats": [{"name": "m", "count": 5, "queue": {"ns": 10}}], "was": 1}
    after = {"model_stats": [{"name": "m", "count": 8, "queue": {"ns": 30}, "new": 2}]}

    assert growth(before, after) == {
        "model_stats": [{"name": "m", "count": 3, "queue": {"ns": 20}, "new": 2}]
    }
    assert growth({}, after) == after


@pytest.mark.parametrize(
    ("body", "words"),
    [(b'{"error": "no\\nsuch"}', "no such"), (b"<html>\n no", "<html> no"), (b"[1]", "[1]")],
)
def test_errors_are_one_line(body: bytes, words: str) -> None:
    """Whatever a server sends."""
    assert reason(body) == words
