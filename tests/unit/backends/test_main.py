# SPDX-License-Identifier: Apache-2.0
"""The command line of the worker: every fault is one line and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.__main__ import main
from tests.support import models


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "--listen"),
        (["--listen", "somewhere"], "--listen somewhere: expected unix:PATH or tcp:HOST:PORT"),
        (["--listen", "unix:s", "--threads", "0"], "argument --threads: a number from 1 expected"),
        (["--listen", "unix:s", "--warmup", "-1"], "--warmup"),
        (["--listen", "unix:s", "--arena", "yes"], "'on' or 'off' expected, not 'yes'"),
        (["--listen", "unix:s", "--grace", "inf"], "a number of seconds expected, not 'inf'"),
        (["--listen", "unix:s", "--version", "9"], "no version 9; it holds 1"),
        (["--listen", "unix:s", "--providers", "Abacus"], "--providers Abacus"),
        (["--listen", "unix:s", "--optimization", "most"], "invalid choice: 'most'"),
    ],
)
def test_a_wrong_option_is_one_line(
    tmp_path: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the option and what would be right."""
    directory = models.save(models.identity(), tmp_path / "m")
    assert main([str(directory), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("infergate worker: ")
    assert err.count("\n") == 1
    assert says in err


def test_the_help_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """The help is the place where options are explained."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--listen", "--instances", "--warmup-data", "--die-with-parent", "--grace"):
        assert option in shown
