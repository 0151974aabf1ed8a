# SPDX-License-Identifier: Apache-2.0
"""Tokenize: what the library makes of every text, in shapes that requests share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError, InvalidRequest
from gateway.steps import PREPROCESS, bind_inputs, client_info, digest
from gateway.steps.padding import width
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor
from tests.support import minilm
from tests.support.steps import input_step, language, model
from tests.support.texts import VOCABULARY, tokenizer_json, vocabulary, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.wire.tensor import Array

TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=5)
BERT = str(minilm.package() / "tokenizer.json")
WORDS = str(minilm.package() / "vocab.txt")


def texts(*given: str | bytes) -> Tensor:
    """A BYTES tensor of one text a row."""
    return Tensor.of("text", np.array(given, object))


def made(step: Any, info: ModelInfo, *given: str | bytes) -> dict[str, Array]:
    """What *step* makes of texts, by name."""
    return {t.name: t.array() for t in bind_inputs(info, [step])((texts(*given),))}


def library(path: str) -> tokenizers.Tokenizer:
    """The library's own tokenizer, that neither pads nor cuts."""
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


REFERENCE = library(BERT)
STEPS: dict[str, Callable[[], Any]] = {
    "tokenizer.json": lambda: input_step("tokenize", file=BERT, max_length=64),
    "vocabulary": lambda: input_step("tokenize", vocabulary=WORDS, max_length=64),
}


@pytest.mark.parametrize("kind", STEPS)
@given(given=TEXTS)
@settings(max_examples=120)
def test_rows_are_what_the_library_makes(kind: str, given: list[str]) -> None:
    """Ids, mask and segments of each, cut to max_length with the last special token kept."""
    found = made(STEPS[kind](), language(), *given)
    columns = found["input_ids"].shape[1]
    assert columns in range(8, 65, 8)
    for row, text in enumerate(given):
        expected = REFERENCE.encode(text)
        expected.truncate(63) if len(expected.ids) > 64 else None
        ids = [*expected.ids, 102] if len(REFERENCE.encode(text).ids) > 64 else expected.ids
        count = len(ids)
        assert found["input_ids"][row].tolist() == ids + [0] * (columns - count)
        assert found["attention_mask"][row].tolist() == [1] * count + [0] * (columns - count)
        assert not found["token_type_ids"][row].any()


def test_a_byte_level_tokenizer_cuts_and_pads_on_the_left() -> None:
    """Where the model was trained so."""
    path = tokenizer_json(name="left.json")
    step = input_step(
        "tokenize",
        file=path,
        max_length=8,
        truncation_side="left",
        padding_side="left",
        multiple_of=1,
    )
    found = made(step, language("INT32", -1, "input_ids", "attention_mask"), "a", "queue " * 30)
    whole = library(path).encode("queue " * 30).ids
    assert found["input_ids"].dtype == np.int32
    assert found["input_ids"][1].tolist() == [0, *whole[1:-1][-6:], 2]
    short = library(path).encode("a").ids
    assert found["input_ids"][0].tolist() == [1] * (8 - len(short)) + short
    assert found["attention_mask"][0].tolist() == [0] * (8 - len(short)) + [1] * len(short)


def test_max_length_is_that_of_the_model_or_the_file_or_512() -> None:
    """In this order, where it is not set."""
    long = "the " * 2000
    for fields, info, expected in (
        ({"vocabulary": vocabulary()}, language(), 512),
        ({"vocabulary": vocabulary()}, language(length=40), 40),
        ({"vocabulary": vocabulary(), "max_length": 20}, language(), 20),
        ({"vocabulary": vocabulary(), "max_length": 20}, language(length=40), 40),
        ({"file": tokenizer_json(name="cut.json", max_length=24)}, language(), 24),
        ({"file": BERT}, language(), 128),
    ):
        found = made(input_step("tokenize", **fields), info, long)
        assert found["input_ids"].shape == (1, expected), fields


def test_a_fixed_length_is_the_same_for_all() -> None:
    """By the option as by the model."""
    step = input_step("tokenize", vocabulary=vocabulary(), padding="fixed", max_length=24)
    assert made(step, language(), "the")["input_ids"].shape == (1, 24)


def test_an_overlong_row_is_refused_where_that_is_asked_for() -> None:
    """With its number and its tokens."""
    step = input_step("tokenize", vocabulary=vocabulary(), overlong="refuse", max_length=5)
    assert made(step, language(), "the the the")["input_ids"].shape == (1, 5)
    with pytest.raises(InvalidRequest, match="row 1: the text has 6 tokens, at most 5"):
        made(step, language(), "the", "the the the the")


@pytest.mark.parametrize(
    ("longest", "expected"), [(0, 16), (1, 16), (16, 16), (17, 32), (99, 100), (100, 100)]
)
def test_widths_are_few(longest: int, expected: int) -> None:
    """A multiple, and no more than there may be."""
    assert width(longest, multiple_of=16, most=100) == expected


@pytest.mark.parametrize(
    ("element", "part"),
    [
        (b"\xff", "row 1: not UTF-8: byte 0xff at 0"),
        (b"ab\xed\xa0\x80", "row 1: not UTF-8: byte 0xed at 2"),
        (b"x" * 101, "row 1: the text has 101 bytes, at most 100"),
    ],
)
def test_what_is_no_text_is_refused_with_its_row(element: bytes, part: str) -> None:
    """A lone surrogate is none, nor is one that is too long."""
    step = input_step("tokenize", vocabulary=vocabulary(), max_bytes=100)
    with pytest.raises(InvalidRequest, match=part):
        made(step, language(), "the", element)


def test_a_text_may_hold_anything_that_is_one() -> None:
    """NUL, controls and names of special tokens included."""
    found = made(STEPS["vocabulary"](), language(), "\0\x01\u200b", "[SEP] [PAD]", "a" * 60_000)
    assert found["input_ids"][0, :2].tolist() == [101, 102]
    assert found["input_ids"][1, :4].tolist() == [101, 102, 0, 102]
    assert found["input_ids"][2, :3].tolist() == [101, 100, 102]


@pytest.mark.parametrize(
    ("fields", "info", "part"),
    [
        ({"vocabulary": "none.txt"}, language(), "'none.txt' cannot be read"),
        ({"file": written("no.json", "{}")}, language(), "not a tokenizer.json"),
        ({"file": written("deep.json", "[" * 100_000)}, language(), "not a tokenizer.json"),
        ({"vocabulary": written("b.txt", b"\xff")}, language(), "not UTF-8"),
        ({"vocabulary": vocabulary([*VOCABULARY, "a"], name="d.txt")}, language(), "twice"),
        ({"vocabulary": vocabulary(["a"], name="o.txt")}, language(), r"no \[PAD\]"),
        ({"vocabulary": vocabulary(), "pad_token": "<x>"}, language(), "'<x>'"),
        ({"vocabulary": vocabulary(), "max_length": 2}, language(), "2 special tokens"),
        ({"vocabulary": vocabulary(), "max_length": 50}, language(length=40), "has 40"),
        ({"vocabulary": vocabulary(), "ids": "tokens"}, language(), "no input 'tokens'"),
        ({"vocabulary": vocabulary()}, language("FP32"), "expected INT64 or INT32"),
        (
            {"vocabulary": vocabulary(), "text": "other"},
            model(
                inputs=(
                    TensorSpec("input_ids", "INT64", (-1, -1)),
                    TensorSpec("other", "FP32", (-1,)),
                )
            ),
            "an input 'other' already",
        ),
        (
            {"vocabulary": vocabulary()},
            model(inputs=(TensorSpec("input_ids", "INT64", (1, 9)),), batched=False),
            "no batch dimension",
        ),
        (
            {"vocabulary": vocabulary()},
            model(
                inputs=(
                    TensorSpec("input_ids", "INT64", (-1, 9)),
                    TensorSpec("attention_mask", "INT64", (-1, 8)),
                )
            ),
            "8 and 9 tokens long",
        ),
    ],
)
def test_what_does_not_fit_is_said_at_the_start(
    fields: dict[str, Any], info: ModelInfo, part: str
) -> None:
    """With the step, what was found and what is needed."""
    step = input_step("tokenize", **fields)
    with pytest.raises(ConfigError, match=part):
        bind_inputs(info, [step])


def test_other_inputs_of_the_model_stay() -> None:
    """A text and a number go in, ids and the number come out."""
    info = model(
        inputs=(TensorSpec("input_ids", "INT64", (-1, -1)), TensorSpec("age", "FP32", (-1,)))
    )
    step = input_step("tokenize", vocabulary=vocabulary())
    assert [spec.name for spec in client_info(info, [step]).inputs] == ["text", "age"]
    age = Tensor.of("age", np.array([3], np.float32))
    ids, same = bind_inputs(info, [step])((texts("the"), age))
    assert (ids.name, same) == ("input_ids", age)


def test_the_digest_is_of_what_the_file_holds(tmp_path: Path) -> None:
    """Another vocabulary under the same name is another step."""
    path = tmp_path / "v.txt"
    path.write_text("\n".join(VOCABULARY))
    before = digest([input_step("tokenize", vocabulary=str(path))])
    path.write_text("\n".join([*VOCABULARY, "more"]))
    assert digest([input_step("tokenize", vocabulary=str(path))]) != before


@pytest.mark.parametrize(
    "fields",
    [{}, {"file": "a", "vocabulary": "b"}, {"file": "a", "ids": "x", "mask": "x"}],
)
def test_a_section_that_contradicts_itself_is_refused(fields: dict[str, Any]) -> None:
    """One source, and three inputs."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, PREPROCESS["tokenize"])


def test_many_texts_are_cut_part_by_part_as_one_by_one() -> None:
    """Long and short in turn, over several parts."""
    given = ["the queue " * (at % 50 * 20) for at in range(300)]
    step = STEPS["vocabulary"]()
    together = made(step, language(length=64), *given)
    for row in (0, 1, 49, 150, 299):
        alone = made(step, language(length=64), given[row])
        for name, array in together.items():
            assert array[row].tolist() == alone[name][0].tolist()


@pytest.mark.parametrize(
    ("count", "part"),
    [(300_000, "300000 texts are too many"), (30_000, r"30000 rows of 1536 numbers each")],
)
def test_more_rows_than_memory_are_refused(count: int, part: str) -> None:
    """However short they are, before the tokenizer sees them."""
    step = input_step("tokenize", vocabulary=vocabulary(), padding="fixed", max_length=512)
    kernel = bind_inputs(language(), [step])
    tensor = Tensor("text", "BYTES", (count,), bytes(4 * count))
    with pytest.raises(InvalidRequest, match=part):
        kernel((tensor,))
