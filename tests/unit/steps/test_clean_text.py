# SPDX-License-Identifier: Apache-2.0
"""Clean text: forms, cases, replacements, white space, and texts that would take long."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError, InvalidRequest
from gateway.steps import bind_inputs, client_info
from gateway.wire.tensor import Tensor
from tests.support.steps import input_step, takes

INFO = takes("BYTES", -1)


def cleaned(*given: str | bytes, **fields: Any) -> list[str]:
    """What the step makes of texts."""
    (made,) = bind_inputs(INFO, [input_step("clean_text", **fields)])(
        (Tensor.of("x", np.array(given, object)),)
    )
    assert made.shape == (len(given),)
    return [element.decode() for element in made.array()]


@given(st.text())
def test_without_options_a_text_stays(text: str) -> None:
    """Every one."""
    assert cleaned(text) == [text]


@given(st.text(), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_forms_are_those_of_unicode(text: str, form: Any) -> None:
    """As the interpreter's own tables have them."""
    assert cleaned(text, unicode=form) == [unicodedata.normalize(form, text)]


def test_every_option_does_what_it_says() -> None:
    """And in the order in which the page lists them."""
    assert cleaned("Ça Straße", strip_accents=True) == ["Ca Straße"]
    assert cleaned("ﬁ①", strip_accents=True, unicode="NFKD") == ["fi1"]
    assert cleaned("Straße", case="fold") == ["strasse"]
    assert cleaned("Straße", case="upper") == ["STRASSE"]
    assert cleaned("Straße", case="lower") == ["straße"]
    assert cleaned(" a\u00a0\t b\n", whitespace="strip") == ["a\u00a0\t b"]
    assert cleaned(" a\u00a0\t b\n", whitespace="collapse") == ["a b"]
    both = [{"pattern": "[0-9]+", "with": "#"}, {"pattern": "#-#", "with": "range"}]
    assert cleaned("12-34 é56", replace=both) == ["range é#"]


def test_groups_of_a_match_can_be_used() -> None:
    """By number and by name; accents and scripts are matched whole."""
    assert cleaned("a-b", replace=[{"pattern": r"(\w)-(\w)", "with": r"\2+\1"}]) == ["b+a"]
    swap = [{"pattern": r"(?P<x>\pL)", "with": r"<\g<x>>"}]
    assert cleaned("é1字", replace=swap) == ["<é>1<字>"]
    assert cleaned("ab", replace=[{"pattern": "a", "with": r"[\g<0>]"}]) == ["[a]b"]
    assert cleaned("ab", replace=[{"pattern": "a"}]) == ["b"]


def test_no_text_makes_a_pattern_take_long() -> None:
    """What a backtracking engine needs 2^30000 steps for is read once."""
    evil = [{"pattern": r"(a+)+$", "with": ""}, {"pattern": r"(a|a)*b", "with": "-"}]
    assert cleaned("a" * 30_000 + "!", replace=evil) == ["a" * 30_000 + "!"]


def test_a_text_that_grows_is_refused() -> None:
    """Before the next replacement makes more of it."""
    double = [{"pattern": "a", "with": "aa"}] * 40
    with pytest.raises(InvalidRequest, match="row 1: the cleaned text has"):
        cleaned("b", "a", replace=double, max_bytes=1000)


def test_what_would_take_long_together_is_refused() -> None:
    """Texts that are each short enough, before any of them is looked at."""
    kernel = bind_inputs(INFO, [input_step("clean_text")])
    for shape, size, part in (((2,), 17 << 20, "together"), ((1 << 19,), 8, "too many")):
        with pytest.raises(InvalidRequest, match=part):
            kernel((Tensor("x", "BYTES", shape, bytes(size)),))


@pytest.mark.parametrize("element", [b"\xff", b"\xed\xa0\x80", b"\xc3"])
def test_what_is_no_text_is_refused(element: bytes) -> None:
    """A lone surrogate is none."""
    with pytest.raises(InvalidRequest, match="input 'x' row 2: not UTF-8"):
        cleaned("a", "b", element)


@pytest.mark.parametrize(
    ("replace", "part"),
    [
        ({"pattern": "("}, r"missing \)"),
        ({"pattern": "(?=a)"}, "invalid perl operator"),
        ({"pattern": r"(a)\1"}, "invalid escape"),
        ({"pattern": "(a{1000}){1000}"}, "repetition size"),
        ({"pattern": "a", "with": r"\1"}, "no group '1'"),
        ({"pattern": "(a)", "with": r"\g<b>"}, "no group 'b'"),
    ],
)
def test_a_pattern_that_cannot_be_read_is_a_fault(replace: dict[str, str], part: str) -> None:
    """When the configuration is checked, and when the model is bound."""
    step: Any = input_step("clean_text", replace=[{"pattern": "b"}, replace])
    ((field, fault),) = step.faults()
    assert field == "replace"
    with pytest.raises(ConfigError, match=f"replacement 1: .*{part}"):
        bind_inputs(INFO, [step])
    assert "replacement 1" in fault


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that whoever sees it can install that."""
    step: Any = input_step("clean_text", replace=[{"pattern": "a"}])
    monkeypatch.setitem(sys.modules, "re2", None)
    ((_, fault),) = step.faults()
    assert "pip install 'infergate[text]'" in fault
    assert list(input_step("clean_text", case="lower").faults()) == []


def test_numbers_do_not_fit() -> None:
    """It reads texts."""
    with pytest.raises(ConfigError, match="clean_text takes BYTES"):
        client_info(takes("FP32", -1), [input_step("clean_text")])
