# SPDX-License-Identifier: Apache-2.0
"""Vectorize: the numbers of scikit-learn, for every vectorizer and any text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfVectorizer,
)

from gateway.errors import ConfigError, InvalidRequest
from gateway.lab.export import described, export
from gateway.steps import bind_inputs, client_info, digest
from gateway.steps.analysis import token_finder
from gateway.wire.tensor import NUMPY, Array, Tensor
from tests.support.steps import input_step, takes
from tests.support.texts import CORPUS, written

VECTORIZERS: dict[str, Any] = {
    "tfidf": TfidfVectorizer(),
    "tfidf bigrams": TfidfVectorizer(ngram_range=(1, 3), stop_words=["the", "of"]),
    "tfidf sublinear": TfidfVectorizer(sublinear_tf=True, norm="l1", strip_accents="unicode"),
    "tfidf binary": TfidfVectorizer(binary=True, norm=None, lowercase=False),
    "tf alone": TfidfVectorizer(use_idf=False, analyzer="char", ngram_range=(2, 4)),
    "english": TfidfVectorizer(stop_words="english", strip_accents="ascii"),
    "pattern": TfidfVectorizer(token_pattern=r"[a-z]+|\d", min_df=1, max_features=20),
    "count": CountVectorizer(analyzer="char_wb", ngram_range=(1, 5)),
    "count group": CountVectorizer(token_pattern=r"\b(\w)\w*", ngram_range=(2, 2)),
    "hashing": HashingVectorizer(n_features=97),
    "hashing plain": HashingVectorizer(
        n_features=31, alternate_sign=False, norm=None, ngram_range=(1, 2), lowercase=False
    ),
    "hashing binary": HashingVectorizer(n_features=5, binary=True, norm="l1", analyzer="char"),
    "hashing wide": HashingVectorizer(n_features=1 << 16, analyzer="char_wb", ngram_range=(3, 3)),
}
WORDS = st.sampled_from([
    *" ".join(CORPUS).split(), "É", "ß", "İ", "  ", "\t", "\0", "12", "字", "\u0301", "ﬁ", "A", "-",
])  # fmt: skip
TEXTS = st.lists(
    st.one_of(st.lists(WORDS, max_size=30).map(" ".join), st.text(max_size=30)),
    min_size=1,
    max_size=4,
)


def transformed(vectorizer: Any, path: Path, texts: list[str], datatype: str = "FP64") -> Array:
    """What the step makes of *texts*, with *vectorizer* exported to *path*."""
    export(vectorizer, path)
    info = takes(datatype, -1, -1)
    kernel = bind_inputs(info, [input_step("vectorize", file=str(path))])
    (made,) = kernel((Tensor.of("x", np.array(texts, object)),))
    assert made.datatype == datatype
    return made.array()


@pytest.mark.parametrize("name", VECTORIZERS)
def test_numbers_are_those_of_scikit_learn(name: str, tmp_path_factory: Any) -> None:
    """Over random and adversarial texts, equal to the last digit that FP64 tells apart."""
    vectorizer = VECTORIZERS[name]
    vectorizer.fit(CORPUS)
    path = tmp_path_factory.mktemp("vectorizer") / "v.json"

    @given(TEXTS)
    @settings(max_examples=40)
    def equal(texts: list[str]) -> None:
        expected = vectorizer.transform(texts).toarray().astype(np.float64)
        made = transformed(vectorizer, path, texts)
        np.testing.assert_allclose(made, expected, rtol=1e-14, atol=1e-15)

    equal()


def test_a_narrow_type_is_rounded_once(tmp_path: Path) -> None:
    """From the FP64 result, as `astype` does it."""
    vectorizer = TfidfVectorizer().fit(CORPUS)
    wide = transformed(vectorizer, tmp_path / "v.json", list(CORPUS))
    narrow = transformed(vectorizer, tmp_path / "v.json", list(CORPUS), "FP32")
    assert narrow.tolist() == wide.astype(NUMPY["FP32"]).tolist()


def test_clients_send_one_text_a_row(tmp_path: Path) -> None:
    """In the place of the columns, as many as the model takes."""
    export(CountVectorizer().fit(CORPUS), tmp_path / "v.json")
    step = input_step("vectorize", file=str(tmp_path / "v.json"))
    features = len(described(CountVectorizer().fit(CORPUS)).vocabulary)
    (spec,) = client_info(takes("FP32", -1, features), [step]).inputs
    assert (spec.name, spec.datatype, spec.shape) == ("x", "BYTES", (-1,))
    for info, part in (
        (takes("FP32", -1, features + 1), f"gives {features} columns"),
        (takes("INT64", -1, features), "expected FP32 or FP64"),
        (takes("FP32", features), "expected FP32 or FP64"),
    ):
        with pytest.raises(ConfigError, match=part):
            client_info(info, [step])


def test_a_request_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """Columns times rows are counted before anything is made."""
    export(HashingVectorizer(n_features=1 << 20), tmp_path / "v.json")
    kernel = bind_inputs(
        takes("FP32", -1, -1), [input_step("vectorize", file=str(tmp_path / "v.json"))]
    )
    with pytest.raises(InvalidRequest, match="33 rows of 1048576 columns"):
        kernel((Tensor.of("x", np.array(["a"] * 33, object)),))
    with pytest.raises(InvalidRequest, match="row 0: not UTF-8"):
        kernel((Tensor.of("x", np.array([b"\xed\xa0\x80"], object)),))


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?u)\b\w\w+\b",
        r"\w+",
        r"[^\s]+",
        r"[a-z]{2,}|\d{1,3}|é",
        r"(\w)\w*",
        r"a?b?\w+",
        r"(?i)x+",
    ],
)
def test_patterns_of_one_endless_repeat_are_taken(pattern: str) -> None:
    """What a vectorizer has by default, and its like."""
    assert token_finder(pattern)("aa bb") is not None


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$", r"(a|a)*b", r"(?:\w+\s?)+", r"\w+\d+", r"(a{1,50}){1,50}", r"(?=a)a", r"(a)\1",
        r"(?<!b)a+", r"(", r"(a)(b)", "a" * 1100,
    ],
)  # fmt: skip
def test_patterns_that_may_take_for_ever_are_refused(pattern: str) -> None:
    """A text of a few words could hold up a thread for years."""
    with pytest.raises(ValueError, match="token_pattern"):
        token_finder(pattern)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"features": 2}, "terms for 2"),
        ({"features": 0}, "expected 1 to"),
        ({"vocabulary": ["a", "a", "b"]}, "twice"),
        ({"idf": [1.0]}, "1 weights"),
        ({"idf": [1.0, 2.0, 1e999]}, "out of range|finite"),
        ({"ngram_range": [2, 1]}, "ngram_range"),
        ({"ngram_range": [1, 99]}, "ngram_range"),
        ({"token_pattern": "(a+)+"}, "token_pattern"),
        ({"format": "2"}, "format"),
        ({"kind": "hashing"}, "vocabulary has 3"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_file_that_is_no_vectorizer_is_a_fault(change: dict[str, Any], part: str) -> None:
    """When the configuration is checked, with what is wrong in it."""
    good = {
        "format": "infergate vectorizer 1",
        "kind": "tfidf",
        "features": 3,
        "vocabulary": ["a", "b", "c"],
        "idf": [1.0, 1.5, 2.0],
    }
    text = msgspec.json.encode(good | change).decode().replace("null", "1e999")
    step: Any = input_step("vectorize", file=written("bad.json", text))
    ((field, fault),) = step.faults()
    assert field == "file"
    assert "not a vectorizer's file" in fault
    with pytest.raises(ConfigError, match=part):
        client_info(takes("FP32", -1, -1), [step])


def test_the_digest_is_of_what_the_file_holds(tmp_path: Path) -> None:
    """A vectorizer that was fitted again is another step."""
    path = tmp_path / "v.json"
    digests = set()
    for texts in (CORPUS, CORPUS[:3]):
        export(TfidfVectorizer().fit(texts), path)
        digests.add(digest([input_step("vectorize", file=str(path))]))
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("vectorizer", "error", "part"),
    [
        (object(), TypeError, "expected one of CountVectorizer"),
        (TfidfVectorizer(tokenizer=str.split, token_pattern=None), ValueError, "tokenizer"),
        (TfidfVectorizer(preprocessor=str.lower), ValueError, "preprocessor"),
        (CountVectorizer(analyzer=str.split), ValueError, "analyzer"),
        (HashingVectorizer(input="filename"), ValueError, "filename"),
        (CountVectorizer(), ValueError, "not fitted"),
        (HashingVectorizer(n_features=1 << 22), ValueError, "features"),
    ],
)
def test_what_no_file_can_hold_is_not_exported(
    vectorizer: Any, error: type[Exception], part: str
) -> None:
    """Functions of its owner, and what is not fitted."""
    with pytest.raises(error, match=part):
        described(vectorizer)
