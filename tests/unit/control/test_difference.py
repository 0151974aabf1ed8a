# SPDX-License-Identifier: Apache-2.0
"""Difference: what a reload changes, and what waits for a restart."""

from __future__ import annotations

from gateway.config import Config
from gateway.config.load import read
from gateway.config.placement import placed
from gateway.control.difference import changes, effective, needing_restart
from gateway.wire.generation import Generation


def config(text: str, *, models: str = "{m: {backends: [{worker: {path: m}}]}}") -> Config:
    """The configuration *text* with models."""
    return read(f"{text}\nmodels: {models}\n", name="test", environment={}, files=False)


def test_what_is_taken_once_needs_a_restart_and_is_named() -> None:
    """With what the file says and what holds, key by key."""
    now = config("server: {processes: 1, limits: {connections: 5}}\ncache: {max_bytes: 1MiB}")
    file = config(
        "server: {processes: 2, timeout: 5s, limits: {connections: 6}, log_level: debug}\n"
        "cache: {max_bytes: 2MiB}"
    )
    assert list(needing_restart(now, file)) == [
        "server.processes: 2 is in the file, 1 in effect until the next start",
        "server.timeout: 5.0 is in the file, 30.0 in effect until the next start",
        "server.limits.connections: 6 is in the file, 5 in effect until the next start",
        "cache.max_bytes: 2097152 is in the file, 1048576 in effect until the next start",
    ]


def test_the_rest_takes_effect() -> None:
    """Models, and of the server what can be followed."""
    now = config("server: {processes: 1, log_level: info}")
    file = config(
        "server: {processes: 2, log_level: debug, reload: {watch: true}}",
        models="{n: {backends: [{worker: {path: n}}]}}",
    )
    found = effective(now, file)
    assert (found.server.processes, found.server.log_level) == (1, "debug")
    assert found.server.reload.watch
    assert list(found.models) == ["n"]
    assert list(needing_restart(found, found)) == []


def test_changes_name_models_and_workers() -> None:
    """Each with what of it is another."""
    before = config(
        "",
        models="{a: {backends: [{worker: {path: a}}]}, b: {backends: [{worker: {path: b}}]}, "
        "c: {backends: [{worker: {path: c}}]}}",
    )
    after = config(
        "",
        models="{a: {backends: [{worker: {path: a, replicas: 2}}], batch: {max_rows: 3}}, "
        "c: {backends: [{worker: {path: c}}]}, d: {backends: [{worker: {path: d}}]}}",
    )
    generation = Generation(1, "", placed(before))
    places = placed(after, running=generation.places, taken=generation.names())
    assert list(changes(before, generation, after, places)) == [
        "models.a: changed: backends, batch",
        "models.d: added",
        "models.b: removed",
        "workers started: a-1, d-0",
        "workers ended: b-0",
    ]


def test_nothing_that_changed_is_nothing_to_tell() -> None:
    """A new version of a model is a matter of its workers alone."""
    now = config("")
    generation = Generation(1, "", placed(now))
    assert list(changes(now, generation, now, generation.places)) == []


def test_a_changed_secret_is_named_and_not_shown() -> None:
    """Neither the one in effect nor the one in the file."""
    sections = [
        f"cache: {{store: 'redis://u:{url}@h', redis: {{secret: {secret}, password: same}}}}"
        for url, secret in (("hunter2", "0123456789abcdef"), ("hunter3", "fedcba9876543210"))
    ]
    lines = list(needing_restart(config(sections[0]), config(sections[1])))

    assert lines == [
        "cache.store: redis://***@h is in the file, redis://***@h in effect until the next start",
        "cache.redis.secret: *** is in the file, *** in effect until the next start",
    ]
