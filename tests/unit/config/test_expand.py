# SPDX-License-Identifier: Apache-2.0
"""References to the environment in values."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.expand import expand, refers

ENVIRONMENT = {"HOST": "db", "EMPTY": "", "TRICKY": "${HOST}"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${HOST}", "db"),
        ("a-${HOST}-${HOST}", "a-db-db"),
        ("${HOST:-other}", "db"),
        ("${NOPE:-other}", "other"),
        ("${NOPE:-}", ""),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY}", ""),
        ("$${HOST}", "${HOST}"),
        ("$HOST costs $5", "$HOST costs $5"),
    ],
)
def test_reference_becomes_what_the_environment_says(text: str, value: str) -> None:
    """Defaults count where the variable is unset or empty, and $${ is literal."""
    assert expand(text, ENVIRONMENT) == value


def test_value_is_not_expanded_again() -> None:
    """What comes out of the environment is a value, not a template."""
    assert expand("${TRICKY}", ENVIRONMENT) == "${HOST}"


def test_unset_variable_is_a_fault_that_names_it() -> None:
    """Nothing is put in place of a variable that is not set."""
    with pytest.raises(ValueError, match="variable NOPE is not set"):
        expand("x${NOPE}", ENVIRONMENT)


@pytest.mark.parametrize("text", ["${", "${}", "${1}", "${A B}", "${a-b}", "x ${HOST"])
def test_malformed_reference_is_a_fault(text: str) -> None:
    """A reference that is none does not pass as text."""
    with pytest.raises(ValueError, match=re.escape("expected ${NAME}")):
        expand(text, ENVIRONMENT)


@given(st.text())
def test_text_without_a_reference_is_unchanged(text: str) -> None:
    """Only references are touched."""
    if not refers(text):
        assert expand(text, {}) == text
