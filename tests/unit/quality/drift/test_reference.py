# SPDX-License-Identifier: Apache-2.0
"""Reference: which bins a feature gets, and that a file gives it back."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.quality.drift.features import Features
from gateway.quality.drift.reference import Reference

ROWS = 1000
RNG = np.random.default_rng(0)


def found() -> Features:
    """A number, a code, a class of text, prose, and a constant."""
    made = Features(ROWS)
    made.numbers = {
        "age": RNG.normal(40, 10, ROWS),
        "code": RNG.integers(0, 4, ROWS),
        "empty": np.full(ROWS, np.nan),
        "constant": np.zeros(ROWS),
    }
    made.texts = {
        "kind": RNG.choice(["a", "b"], ROWS).tolist(),
        "prose": [f"text {place}" for place in range(ROWS)],
    }
    return made


def test_features_get_the_bins_that_suit_them() -> None:
    """Numbers tenths of the reference, codes and few texts one each; prose and nothing are out."""
    reference = Reference.fit("m", found(), source="data", made=1.0)
    kinds = {each.name: each.kind for each in reference.features}
    assert kinds == {"age": "number", "code": "name", "constant": "name", "kind": "name"}
    age = next(each for each in reference.features if each.name == "age")
    assert age.counts[:10].tolist() == pytest.approx([100] * 10, abs=1)
    assert age.counts[-1] == 0


def test_what_is_meant_is_taken() -> None:
    """Those that are named, prose too."""
    reference = Reference.fit("m", found(), source="", made=1.0, wanted=("prose", "code"))
    assert {each.name for each in reference.features} == {"prose", "code"}


def test_a_file_gives_the_same_bins() -> None:
    """And another form is refused by what it is."""
    made = found()
    reference = Reference.fit("m", made, source="data", made=1.0)
    back = Reference.read(reference.json())
    assert back.json() == reference.json()
    assert (back.places(made) == reference.places(made)).all()
    assert [each.name for each in Reference.read(reference.json(), wanted=["age"]).features] == [
        "age"
    ]
    with pytest.raises(ValueError, match="not a reference of"):
        Reference.read(b"{}")
    newer = reference.json().replace(b'"schema_version": 1', b'"schema_version": 9')
    with pytest.raises(ValueError, match="version 9"):
        Reference.read(newer)


def test_what_is_absent_or_of_another_kind_is_no_row() -> None:
    """A feature that a client does not send any more, or sends as text."""
    reference = Reference.fit("m", found(), source="", made=1.0, wanted=("age",))
    other = Features(2, texts={"age": ["old", "young"]})
    assert reference.places(other).tolist() == [[-1], [-1]]
    assert reference.places(Features(2)).tolist() == [[-1], [-1]]
