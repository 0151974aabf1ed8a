# SPDX-License-Identifier: Apache-2.0
"""The control process, or a gateway process, is killed while labels come in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.labelling import (
    Labelling,
    infer,
    kill,
    label,
    labelling,
    predictions,
    rows,
    serving,
    until,
)

pytestmark = pytest.mark.e2e


def assert_kept(ledger: Path, sending: Labelling) -> None:
    """Every label that was answered is there, and holds where the answer was that it does."""
    found = dict(rows(ledger, "SELECT id, state FROM labels"))
    assert sending.acknowledged.keys() <= found.keys()
    joined = {each for each, result in sending.acknowledged.items() if result == "joined"}
    assert joined
    assert {found[each] for each in joined} == {1}
    holding = {
        each for (each,) in rows(ledger, "SELECT l.id FROM joins j JOIN labels l ON l.seq = j.seq")
    }
    assert joined <= holding


def test_no_label_that_was_answered_is_lost_with_the_control_process(tmp_path: Path) -> None:
    """Nor is any refused for longer than its restart takes; predictions are answered meanwhile."""
    ledger = tmp_path / "ledger.sqlite3"
    with serving(tmp_path, ledger).ready() as program:
        with labelling(program) as sending:
            for _ in range(3):
                sending.goes_on()
                before = program.children()["gateway.control"]
                kill(program, "gateway.control")
                assert infer(program) == 2.0
                sending.goes_on()
                assert program.children()["gateway.control"] != before
        assert_kept(ledger, sending)
        assert sending.refused > 0  # it was in the middle of it
        # What was answered counts once, whoever sends it again.
        _, answer = label(program, list(sending.acknowledged)[:1000], 2.5)
        assert answer["counts"]["duplicate"] == min(1000, len(sending.acknowledged))


def test_no_label_that_was_answered_is_lost_with_a_gateway(tmp_path: Path) -> None:
    """Another one takes the next."""
    ledger = tmp_path / "ledger.sqlite3"
    with serving(tmp_path, ledger).ready() as program:
        with labelling(program) as sending:
            for _ in range(2):
                sending.goes_on()
                before = program.children()["gateway.process"]
                kill(program, "gateway.process")
                sending.goes_on()
                assert program.children()["gateway.process"] != before
        assert_kept(ledger, sending)


def test_labels_are_refused_in_words_while_the_control_process_is_away(tmp_path: Path) -> None:
    """With 503, when to come back, and no trace of them."""
    ledger = tmp_path / "ledger.sqlite3"
    with serving(tmp_path, ledger).ready() as program:
        ids = list(predictions(3).ids)
        kill(program, "gateway.control")
        answers = []

        def answered() -> bool:
            answers.append(label(program, ids))
            return answers[-1][0] == 200

        until(answered)
        assert answers[0][0] == 503
        assert "control process does not answer" in answers[0][1]["error"]
        assert answers[-1][1]["counts"] == {"buffered": 3}
