# SPDX-License-Identifier: Apache-2.0
"""Another program locks the ledger: nobody waits for it longer than the configuration allows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
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


def test_a_locked_ledger_is_waited_for_but_not_for_long(tmp_path: Path) -> None:
    """Labels get a clear no, predictions wait in memory, and all goes on once it is free."""
    ledger = tmp_path / "ledger.sqlite3"
    with serving(tmp_path, ledger, more=", busy_timeout: 100ms").ready() as program:
        until(lambda: ledger_state(program)["state"] == "ok")
        with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            samples = predictions(100)
            hand_over(program, samples)
            until(lambda: ledger_state(program)["state"] == "locked")
            status, answer = label(program, list(samples.ids))
            assert status == 503
            assert "locked by another program" in answer["error"]
            assert infer(program) == 2.0
            assert program.metrics("infergate_ledger_waiting_bytes", admin=True)[""] > 0
            other.execute("ROLLBACK")
        until(lambda: ledger_state(program)["state"] == "ok")
        status, answer = label(program, list(samples.ids))
        assert (status, answer["counts"]) == (200, {"joined": 100})


def test_what_does_not_fit_while_it_is_locked_is_dropped_and_counted(tmp_path: Path) -> None:
    """Memory is bounded; the newest are dropped."""
    ledger = tmp_path / "ledger.sqlite3"
    more = ", busy_timeout: 100ms, queue_bytes: 1MiB"
    with serving(tmp_path, ledger, more=more).ready() as program:
        until(lambda: ledger_state(program)["state"] == "ok")
        with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            kept, dropped = predictions(6000), predictions(6000)
            hand_over(program, kept)
            hand_over(program, dropped)

            def counted() -> float:
                found = program.metrics("infergate_ledger_predictions_total", admin=True)
                return found.get('{model="m",result="dropped"}', 0.0)

            until(lambda: counted() == 6000)
            other.execute("ROLLBACK")
        until(lambda: ledger_state(program)["state"] == "ok")
        assert label(program, list(kept.ids[:10]))[1]["counts"] == {"joined": 10}
        assert label(program, list(dropped.ids[:10]))[1]["counts"] == {"buffered": 10}
