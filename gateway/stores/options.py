# SPDX-License-Identifier: Apache-2.0
"""The section ``cache`` of the whole server: where cached answers are kept, and how many."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.stores.address import parse_redis_url, without_password
from gateway.tls import TlsConfig
from gateway.units import Duration, Size, Unit

MEMORY = "memory"


def parse_store(text: str) -> str:
    """*text* itself if it names a store. Raises ValueError, which shows no password."""
    if text != MEMORY:
        parse_redis_url(text)
    return text


STORE = Unit(
    "store", parse_store, pattern=r"^(memory|rediss?(\+(sentinel|cluster))?://.+|unix:.+)$"
)
# A secret itself, as ``${NAME}``, or ``file:PATH`` of the file that holds it.
Secret = Annotated[str, Meta(min_length=1, max_length=8192)]


class BreakerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """After some failures in a short time Redis is left alone for a while; a probe ends that."""

    failures: Annotated[
        int, Meta(ge=1, le=1000, description="Failures within the window that open the breaker.")
    ] = 5
    window: Annotated[Duration, Meta(ge=0.01, description="How long a failure counts.")] = 1.0
    base: Annotated[
        Duration,
        Meta(ge=0.01, description="Time of a first opening; it doubles with each that follows."),
    ] = 1.0
    max: Annotated[Duration, Meta(ge=0.01, description="The longest time of an opening.")] = 30.0

    def __post_init__(self) -> None:
        if self.max < self.base:
            raise ValueError("max is below base; it bounds what base grows to")


class RedisConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a cache in Redis is used; without one in `store` nothing of it matters."""

    prefix: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$",
            max_length=64,
            description=(
                "Begins every key, so that a Redis can be shared. Danger: two deployments with "
                "the same prefix and secret answer from one another's entries."
            ),
            extra={"expected": "letters, digits, '.', '_', ':' and '-'"},
        ),
    ] = "infergate"
    secret: Annotated[
        Secret | None,
        Meta(
            description=(
                "What all gateways that share the entries have in common, of at least 16 "
                "characters: `${NAME}`, or `file:PATH`. Keys are made with it, so that nobody can "
                "guess questions from them, and values are signed with it. Another one makes all "
                "entries unreachable."
            )
        ),
    ] = None
    encryption_keys: Annotated[
        tuple[Secret, ...],
        Meta(
            max_length=16,
            description=(
                "Values are encrypted (AES-256-GCM) with the first of these keys, and read with "
                "any: 32 bytes each as base64, `${NAME}` or `file:PATH`. To rotate, put a new one "
                "in front, and take the old one away when the longest ttl has passed."
            ),
        ),
    ] = ()
    username: Annotated[
        str | None, Meta(min_length=1, description="The ACL user; null: that of the URL.")
    ] = None
    password: Annotated[
        Secret | None,
        Meta(description="Its password, `${NAME}` or `file:PATH`; null: that of the URL."),
    ] = None
    sentinel_username: Annotated[
        str | None, Meta(min_length=1, description="The user that Sentinels know.")
    ] = None
    sentinel_password: Annotated[
        Secret | None, Meta(description="The password for Sentinels, `${NAME}` or `file:PATH`.")
    ] = None
    tls: TlsConfig = TlsConfig()
    connect_timeout: Annotated[
        Duration, Meta(ge=0.001, le=60, description="How long connecting may take.")
    ] = 0.05
    timeout: Annotated[
        Duration,
        Meta(
            ge=0.001,
            le=60,
            description=(
                "How long a call may take, waiting for a connection included; what takes longer is "
                "a miss. Danger: requests wait for so long while Redis is slow, until the breaker "
                "opens."
            ),
        ),
    ] = 0.02
    breaker: BreakerConfig = BreakerConfig()
    max_value_bytes: Annotated[
        Size, Meta(ge=1024, le=256 << 20, description="Larger values are neither kept nor used.")
    ] = 8 << 20
    compression: Annotated[
        Literal["none", "zstd"],
        Meta(
            description=(
                "zstd: values of at least `compress_above` are packed where that makes them "
                "smaller. Scores and embeddings hardly shrink."
            )
        ),
    ] = "none"
    compress_above: Annotated[
        Size, Meta(ge=64, description="Values below this size are not worth packing.")
    ] = 8 << 10
    queue_entries: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 20,
            description="Values that may wait to be written; what does not fit is dropped.",
        ),
    ] = 4096
    queue_bytes: Annotated[
        Size, Meta(ge=1 << 16, description="Size of the values that may wait to be written.")
    ] = 16 << 20
    poll: Annotated[
        Duration,
        Meta(
            ge=0.05,
            le=60,
            description="Time between two looks for purges of other gateways.",
        ),
    ] = 1.0

    def __post_init__(self) -> None:
        if self.username is not None and self.password is None:
            raise ValueError("username is there without password; expected both")
        if self.sentinel_username is not None and self.sentinel_password is None:
            raise ValueError("sentinel_username is there without sentinel_password; expected both")
        if self.encryption_keys and find_spec("cryptography") is None:
            raise ValueError(
                "encryption_keys need a package that is not installed; "
                "install infergate[encryption]"
            )

    def __repr__(self) -> str:
        """Without secrets."""
        return f"<RedisConfig {self.prefix}>"


class CacheConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The store that all models with a cache share."""

    store: Annotated[
        str,
        Meta(
            description=(
                "Where answers are kept: memory is that of each gateway process. "
                "`redis://HOST:PORT/DB`, `rediss://…` (TLS), `unix:/PATH`, "
                "`redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB` or "
                "`redis+cluster://HOST:PORT,HOST:PORT`: in a Redis behind it, which gateways "
                "share and none needs."
            ),
            extra={"unit": STORE},
        ),
    ] = MEMORY
    max_bytes: Annotated[
        Size,
        Meta(
            ge=1 << 20,
            description=(
                "Size of the store in memory, with its own overhead; the least recently used goes "
                "first. Danger: each gateway process has one of this size."
            ),
        ),
    ] = 256 << 20
    redis: RedisConfig = RedisConfig()

    def __post_init__(self) -> None:
        if self.store == MEMORY:
            return
        # Checked here, and not when it is first used, so that `check` says it.
        lacking = [name for name in ("hiredis", "redis", "zstandard") if find_spec(name) is None]
        if lacking:
            raise ValueError(
                f"store: a cache in Redis needs packages that are not installed "
                f"({', '.join(lacking)}); install infergate[redis]"
            )

    def __repr__(self) -> str:
        """Without secrets."""
        return f"<CacheConfig {without_password(self.store)} {self.max_bytes} bytes {self.redis!r}>"
