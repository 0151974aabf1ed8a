# SPDX-License-Identifier: Apache-2.0
"""One view of all endpoints out of what each gateway process wrote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from gateway.control.state import STALE, backends, read_states
from gateway.wire.runtime import state_directory, state_file


def written(runtime: Path, index: int, state: dict[str, Any], *, at: float) -> None:
    """Write *state* as gateway process *index* does, with the time *at*."""
    state_directory(runtime).mkdir(exist_ok=True)
    path = state_file(runtime, index)
    path.write_bytes(msgspec.msgpack.encode(state))
    os.utime(path, (at, at))


def seen(state: str, pending: int, **more: object) -> dict[str, Any]:
    """A state with one model and one endpoint."""
    endpoint = {
        "name": "digits-0",
        "address": "unix:/run/digits-0.sock",
        "state": state,
        "pending": pending,
        "weight": 2.0,
        **more,
    }
    model = {"ready": state == "ready", "queued": pending, "endpoints": [endpoint]}
    return {"models": {"digits": model}}


def test_counts_add_up_over_gateway_processes(tmp_path: Path) -> None:
    """What is pending at a worker is the sum of what each process has there."""
    written(tmp_path, 0, seen("ready", 2, attempts=10), at=100.0)
    written(tmp_path, 1, seen("ready", 3, attempts=5), at=100.0)
    view = backends(read_states(tmp_path, now=101.0))
    assert view["gateways"] == ["gateway-0", "gateway-1"]
    (endpoint,) = view["models"]["digits"]["endpoints"]
    assert (endpoint["pending"], endpoint["attempts"], endpoint["weight"]) == (5, 15, 2.0)
    assert view["models"]["digits"]["queued"] == 5
    assert endpoint["state"] == "ready"


def test_processes_that_disagree_are_told_apart(tmp_path: Path) -> None:
    """One process may have ejected what another still uses; the model is then not all ready."""
    written(tmp_path, 0, seen("ready", 0), at=100.0)
    written(tmp_path, 1, seen("ejected", 0, ejected_for=1.5), at=100.0)
    model = backends(read_states(tmp_path, now=100.0))["models"]["digits"]
    (endpoint,) = model["endpoints"]
    assert endpoint["state"] == "mixed"
    assert endpoint["states"] == {"gateway-0": "ready", "gateway-1": "ejected"}
    assert endpoint["ejected_for"] == 1.5
    assert model["ready"] is False


def test_a_process_that_fell_silent_is_left_out(tmp_path: Path) -> None:
    """A state older than the limit describes nothing that is still so."""
    written(tmp_path, 0, seen("ready", 9), at=100.0)
    assert list(read_states(tmp_path, now=100.0 + STALE)) == ["gateway-0"]
    assert read_states(tmp_path, now=100.1 + STALE) == {}


def test_a_file_that_is_no_state_is_left_out(tmp_path: Path) -> None:
    """Half a file must not take the view of the others away."""
    written(tmp_path, 0, seen("ready", 1), at=100.0)
    written(tmp_path, 1, {"models": "none"}, at=100.0)
    assert list(read_states(tmp_path, now=100.0)) == ["gateway-0"]


def test_no_gateway_is_an_empty_view(tmp_path: Path) -> None:
    """Before the first state is written there is nothing to show, and no error."""
    assert backends(read_states(tmp_path, now=0.0)) == {
        "gateways": [],
        "generations": {},
        "models": {},
    }


def test_facts_added_later_are_no_fault(tmp_path: Path) -> None:
    """A gateway of a newer version may write more."""
    written(tmp_path, 0, seen("ready", 1, zone="a"), at=100.0)
    assert list(read_states(tmp_path, now=100.0)) == ["gateway-0"]
