# SPDX-License-Identifier: Apache-2.0
"""Opening: the store in Redis that a configuration asks for; nothing is connected yet."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any

from gateway.stores.address import parse_redis_url
from gateway.stores.breaker import STATES, Breaker
from gateway.stores.channel import Channel
from gateway.stores.dial import Dial, Login
from gateway.stores.frame import FrameCodec
from gateway.stores.redis import RedisStore
from gateway.stores.seal import AesGcm, Digest
from gateway.stores.secrets import encryption_key, shared_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.stores.address import RedisAddress
    from gateway.stores.dial import Dialling
    from gateway.stores.line import Command
    from gateway.stores.options import CacheConfig, RedisConfig
    from gateway.stores.seal import Seal
    from gateway.telemetry import SumCell, Telemetry
    from gateway.tls import TlsConfig

_PATH = "cache.redis"


def open_store(
    config: CacheConfig,
    *,
    telemetry: Telemetry,
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.perf_counter,
) -> RedisStore:
    """The store at the URL ``config.store``, which connects when it is first used.

    *now* gives seconds since 1970, *clock* seconds that never go back.
    Raises ValueError where a secret or a certificate cannot be read, and says where it stands.
    """
    options = config.redis
    address = parse_redis_url(config.store)
    secret = shared_secret(options.secret, f"{_PATH}.secret")
    dial = _dial(address, options)
    prefix = options.prefix.encode()
    # A look and a write that tell all: whether the server is loading, refuses, is full, is a copy.
    store = RedisStore(
        reads=_channel(
            f"cache look-ups at {address}", dial, options, clock, ("MGET", prefix + b":probe")
        ),
        writes=_channel(
            f"cache writes at {address}",
            dial,
            options,
            clock,
            ("SET", prefix + b":probe", b"", "PX", 1000),
        ),
        codec=FrameCodec(
            _seal(options, secret),
            max_bytes=options.max_value_bytes,
            compress_above=options.compress_above if options.compression == "zstd" else None,
        ),
        prefix=options.prefix,
        secret=secret,
        queue_entries=options.queue_entries,
        queue_bytes=options.queue_bytes,
        poll=options.poll,
        now=now,
        clock=clock,
    )
    report(store, telemetry)
    return store


def report(store: RedisStore, telemetry: Telemetry, *, layer: str = "redis") -> None:
    """Have *telemetry* show what *store* does as *layer*."""
    store.observe = telemetry.cache_seconds.cell(layer).observe
    queued = telemetry.cache_bytes.cell(f"{layer}_queue")
    states = {state: telemetry.cache_breaker.cell(state) for state in STATES}
    counts: list[tuple[dict[str, int], Callable[[str, str], SumCell]]] = [
        (store.writes.dropped, telemetry.cache_evictions.cell),
        (store.refused, telemetry.cache_refused.cell),
        *[(way.errors, telemetry.cache_errors.cell) for way in store.ways.values()],
    ]
    told = [dict.fromkeys(count, 0) for count, _ in counts]

    def collect() -> None:
        queued.value = store.writes.bytes
        for state, cell in states.items():
            cell.value = int(state == store.state)
        for (count, cell_of), before in zip(counts, told, strict=True):
            for why, number in count.items():
                cell_of(layer, why).value += number - before[why]
                before[why] = number

    telemetry.on_collect(collect)


def _dial(address: RedisAddress, options: RedisConfig) -> Dialling:
    login = Login(
        options.username or address.username,
        options.password or address.password,
    )
    if address.kind == "cluster":
        from gateway.stores.cluster import ClusterDial  # noqa: PLC0415 - redis-py only for those

        return ClusterDial(
            address,
            login=login,
            timeout=options.timeout,
            connect_timeout=options.connect_timeout,
            tls=_cluster_tls(options.tls) if address.tls else {},
        )
    return Dial(
        address,
        login=login,
        sentinel_login=Login(
            options.sentinel_username or "",
            options.sentinel_password or "",
        ),
        tls=_tls(options.tls) if address.tls else None,
    )


def _channel(
    name: str,
    dial: Dialling,
    options: RedisConfig,
    clock: Callable[[], float],
    probe: Command,
) -> Channel:
    breaker = options.breaker
    return Channel(
        dial,
        name=name,
        breaker=Breaker(
            clock=clock,
            failures=breaker.failures,
            window=breaker.window,
            base=breaker.base,
            most=breaker.max,
        ),
        probe=probe,
        timeout=options.timeout,
        connect_timeout=options.connect_timeout,
    )


def _seal(options: RedisConfig, secret: bytes) -> Seal:
    if not options.encryption_keys:
        return Digest(secret)
    path = f"{_PATH}.encryption_keys"
    keys = [encryption_key(text, f"{path}[{n}]") for n, text in enumerate(options.encryption_keys)]
    try:
        return AesGcm(keys)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _tls(options: TlsConfig) -> ssl.SSLContext:
    try:
        return options.context()
    except ValueError as error:
        raise ValueError(f"{_PATH}.tls.{error}") from None


def _cluster_tls(options: TlsConfig) -> dict[str, Any]:
    # Whatever is wrong with the files is said now, in the same words.
    _tls(options)
    return {
        "ssl": True,
        "ssl_ca_certs": options.ca,
        "ssl_certfile": options.cert,
        "ssl_keyfile": options.key,
        "ssl_cert_reqs": "required" if options.verify else "none",
        "ssl_check_hostname": options.verify,
    }
