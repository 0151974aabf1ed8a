# SPDX-License-Identifier: Apache-2.0
"""The command line says what it takes, and refuses the rest before anything is started."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import RESULTS, arguments, wanted
from benchmarks.contenders import Loop
from benchmarks.plan import SOAK_REQUESTS


def test_a_plain_run_writes_its_results() -> None:
    """Three rounds, kept beside the results of other commits."""
    options = arguments([])
    assert (options.rounds, options.output, options.soak) == (3, RESULTS, None)


def test_a_quick_run_is_shorter_and_writes_nothing() -> None:
    """What it gives is for the eye, not for the record."""
    options = arguments(["--quick"])
    assert options.seconds < arguments([]).seconds
    assert options.output is None


def test_the_soak_can_be_asked_for_either_way() -> None:
    """As a case or as an option, with the same number of requests."""
    assert arguments(["--cases", "soak"]).soak == SOAK_REQUESTS
    assert arguments(["--soak"]).soak == SOAK_REQUESTS
    assert arguments(["--soak", "5000"]).soak == 5000


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--rounds", "0"], "--rounds: at least 1"),
        (["--seconds", "0"], "--seconds: at least 1"),
        (["--cases", "digit"], "no case 'digit'; known are"),
        (["--only", "gateway,trition"], "no trition; known are"),
        (["--yardstick", "nowhere"], "no gateway.py in nowhere"),
    ],
)
def test_bad_input_ends_with_2_and_says_why(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option, the value and what would be right."""
    with pytest.raises(SystemExit) as end:
        arguments(argv)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_only_the_wanted_contenders_run_in_the_wanted_cases() -> None:
    """A contender that is measured nowhere is not started."""
    family = {
        name: Loop(name, "", Path(), np.zeros((1, 64), np.float32), 1)
        for name in ("gateway", "haproxy", "fastapi")
    }
    everybody = wanted(arguments(["--cases", "digits-1"]), family, "digits")
    assert [(name, [case.name for case in cases]) for name, cases in everybody] == [
        ("gateway", ["digits-1"]),
        ("haproxy", ["digits-1"]),
        ("fastapi", ["digits-1"]),
    ]
    options = arguments(["--cases", "digits-1,digits-32", "--only", "fastapi"])
    one = wanted(options, family, "digits")
    assert [(name, [case.name for case in cases]) for name, cases in one] == [
        ("fastapi", ["digits-1", "digits-32"])
    ]
    assert wanted(options, family, "images") == []
