# SPDX-License-Identifier: Apache-2.0
"""No room is left for the ledger: predictions are answered, labels are refused, and it recovers."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.support.labelling import (
    hand_over,
    infer,
    label,
    ledger_state,
    predictions,
    serving,
    until,
)

pytestmark = pytest.mark.e2e


def test_a_full_disk_costs_records_and_nothing_else(tmp_path: Path) -> None:
    """The state is told in words and metrics; with room again, it goes on by itself."""
    ledger = tmp_path / "ledger.sqlite3"
    with serving(tmp_path, ledger).ready() as program:
        first = predictions(20)
        hand_over(program, first)
        until(lambda: label(program, list(first.ids))[1]["counts"] == {"duplicate": 20})
        control = program.children()["gateway.control"]
        # The kernel refuses to let any file of this process grow, as a full disk does.
        _, hard = resource.prlimit(control, resource.RLIMIT_FSIZE)
        room = ledger.with_name("ledger.sqlite3-wal").stat().st_size
        resource.prlimit(control, resource.RLIMIT_FSIZE, (room, hard))
        second = predictions(5000)
        hand_over(program, second)

        until(lambda: ledger_state(program)["state"] == "full")
        assert "no room is left" in ledger_state(program)["message"]
        status, answer = label(program, list(first.ids), 9.0)
        assert status == 503
        assert "no room is left" in answer["error"]
        assert infer(program) == 2.0
        assert program.metrics("infergate_ledger_up", admin=True) == {"": 0.0}
        errors = program.metrics("infergate_ledger_errors_total", admin=True)
        assert errors['{reason="full"}'] >= 1
        assert program.get("/healthz", admin=True)[0] == 200

        resource.prlimit(control, resource.RLIMIT_FSIZE, (hard, hard))
        until(lambda: ledger_state(program)["state"] == "ok")
        # What waited in memory is there, and so are the first labels.
        until(lambda: label(program, list(second.ids[:50]))[1]["counts"].keys() == {"duplicate"})
        assert label(program, list(first.ids))[1]["counts"] == {"duplicate": 20}
        assert program.children()["gateway.control"] == control
