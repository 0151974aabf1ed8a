# SPDX-License-Identifier: Apache-2.0
"""The ledger's file is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.labelling import infer, label, ledger_state, serving, until

pytestmark = pytest.mark.e2e


def test_a_damaged_file_is_named_and_a_new_one_begun_in_its_place(tmp_path: Path) -> None:
    """Traffic is served; the operator moves the file away, and nothing else."""
    ledger = tmp_path / "ledger.sqlite3"
    ledger.write_bytes(b"no database at all" * 1000)
    with serving(tmp_path, ledger).ready() as program:
        until(lambda: ledger_state(program)["state"] == "corrupt")
        assert "is damaged; move it away" in ledger_state(program)["message"]
        assert str(ledger) in ledger_state(program)["message"]
        assert infer(program) == 2.0
        assert label(program, ["a"])[0] == 503
        ledger.rename(tmp_path / "damaged")
        until(lambda: ledger_state(program)["state"] == "ok")
        assert label(program, ["a"])[1]["counts"] == {"buffered": 1}
    assert (tmp_path / "damaged").read_bytes().startswith(b"no database")
