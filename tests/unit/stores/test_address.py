# SPDX-License-Identifier: Apache-2.0
"""RedisAddress: what a URL says, and what is never shown of it."""

from __future__ import annotations

import pytest

from gateway.stores.address import RedisAddress, parse_redis_url, without_password

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", RedisAddress("server", (("cache", 6379),))),
        (
            "rediss://me:p%40ss@10.0.0.1:7000/3",
            RedisAddress("server", (("10.0.0.1", 7000),), "", True, "", 3, "me", "p@ss"),  # noqa: FBT003
        ),
        ("redis://:pw@[::1]:7000", RedisAddress("server", (("::1", 7000),), password="pw")),
        ("unix:/run/redis.sock", RedisAddress("unix", path="/run/redis.sock")),
        ("unix:///run/redis.sock", RedisAddress("unix", path="/run/redis.sock")),
        (
            "redis+sentinel://a,b:7000/answers/2",
            RedisAddress("sentinel", (("a", 26379), ("b", 7000)), service="answers", database=2),
        ),
        (
            "rediss+cluster://a:1,b:2",
            RedisAddress("cluster", (("a", 1), ("b", 2)), tls=True),
        ),
    ],
)
def test_a_url_says_where_redis_is(url: str, address: RedisAddress) -> None:
    """One server, Sentinels with a service, nodes of a cluster, or a socket."""
    assert parse_redis_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://h", "redis://", "redis:", "redis://a,b", "redis://h:0", "redis://h:99999",
        "redis://h/x", "redis://h/1/2", "redis://h/99999", "redis://h?db=1", "redis+sentinel://h",
        "redis+cluster://h/1", "unix:relative", "unix://host/path", "redis://[::1", "redis://a b",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_without_its_password(url: str) -> None:
    """With what would be right, and not with what may be secret."""
    secret = url.replace("://", f"://user:{PASSWORD}@", 1)
    for text in {url, secret}:
        with pytest.raises(ValueError, match=r"expected|cluster") as raised:
            parse_redis_url(text)
        assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("kind", ["redis", "rediss+cluster", "redis+sentinel"])
def test_no_text_shows_a_password(kind: str) -> None:
    """Whatever a log says of an address."""
    url = f"{kind}://user:{PASSWORD}@h:1/" + ("answers" if "sentinel" in kind else "")
    address = parse_redis_url(url)

    assert address.password == PASSWORD
    for text in (repr(address), str(address), f"{address}", without_password(url)):
        assert PASSWORD not in text
        assert "h:1" in text
