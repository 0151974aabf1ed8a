# SPDX-License-Identifier: Apache-2.0
"""Verdicts: who is ejected for wrong answers, who comes back, and who is spared."""

from __future__ import annotations

from gateway.control.probing.verdicts import Verdicts
from gateway.quality.probes.golden import Change
from gateway.quality.probes.report import Series

GOOD, BAD = Change(10), Change(10, flipped=1, first=(0,))


def said(**changes: Change | None) -> list[Series]:
    """A series for each endpoint; None is one that did not answer."""
    return [
        Series(path="direct", endpoint=name, change=change, error="" if change else "gone")
        for name, change in changes.items()
    ]


def consequence(
    verdicts: Verdicts, *able: str, out: tuple[str, ...] = (), there: tuple[str, ...] = ()
) -> tuple[list[str], list[str], list[str]]:
    """Ejected, restored, spared; two good rounds bring back."""
    return verdicts.consequence(able=able, there=there or able, out=out, most=0.5, rise=2)


def test_one_bad_round_ejects() -> None:
    """There is no chance in it that a second look would rule out."""
    verdicts = Verdicts()
    verdicts.note("set", said(a=GOOD, b=BAD))
    assert consequence(verdicts, "a", "b") == (["b"], [], [])


def test_good_rounds_in_a_row_bring_back() -> None:
    """A bad one in between begins anew, and one without an answer changes nothing."""
    verdicts = Verdicts()
    for change, back in [(BAD, []), (GOOD, []), (BAD, []), (GOOD, []), (None, []), (GOOD, ["b"])]:
        verdicts.note("set", said(a=GOOD, b=change))
        assert consequence(verdicts, "a", "b", out=("b",)) == ([], back, [])


def test_every_set_must_be_answered_rightly() -> None:
    """What one set finds, another need not."""
    verdicts = Verdicts()
    verdicts.note("one", said(a=GOOD, b=BAD))
    for _ in range(3):
        verdicts.note("two", said(a=GOOD, b=GOOD))
    assert consequence(verdicts, "a", "b", out=("b",)) == ([], [], [])
    verdicts.keep({"two"})
    assert consequence(verdicts, "a", "b", out=("b",)) == ([], ["b"], [])


def test_the_last_one_is_spared_and_told_of() -> None:
    """Wrong answers are known by then, and no answers are worse."""
    verdicts = Verdicts()
    verdicts.note("set", said(a=BAD, b=BAD))
    assert consequence(verdicts, "a", "b", out=("a",)) == ([], [], ["b"])
    assert consequence(verdicts, "a") == ([], [], ["a"])


def test_where_all_are_wrong_nobody_is_ejected() -> None:
    """Half of the endpoints that give the same wrong answers are no better than all of them."""
    verdicts = Verdicts()
    verdicts.note("set", said(a=BAD, b=BAD, c=BAD))
    assert consequence(verdicts, "a", "b", "c") == ([], [], ["a", "b", "c"])
    # One that has not been asked may be right.
    assert consequence(verdicts, "a", "b", "c", "d") == (["a", "b"], [], ["c"])


def test_who_is_out_comes_back_when_nobody_else_is_left() -> None:
    """Unless another one has answered just now, whatever gateway processes saw a second ago."""
    verdicts = Verdicts()
    verdicts.note("set", said(a=GOOD, b=BAD))
    assert consequence(verdicts, "b", out=("b",)) == ([], ["b"], ["b"])
    assert consequence(verdicts, "b", out=("b",), there=("a", "b")) == ([], [], [])


def test_what_cannot_answer_clients_is_not_ejected() -> None:
    """It is out anyhow, and must not use up the share."""
    verdicts = Verdicts()
    verdicts.note("set", said(a=GOOD, b=BAD, c=BAD))
    assert consequence(verdicts, "a", "b") == (["b"], [], [])
