# SPDX-License-Identifier: Apache-2.0
"""Identity: which worker is the one that an address stands for."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from gateway.upstream.identity import mistaken
from gateway.wire.model import ModelInfo, TensorSpec
from tests.support.upstream import MODEL

INPUTS = (TensorSpec("x", "FP32", (-1, 3)),)


@pytest.mark.parametrize(
    "said",
    [MODEL, replace(MODEL, digest="1" * 64, version="2"), replace(MODEL, parallelism=4)],
    ids=["same", "new version", "more threads"],
)
def test_a_worker_of_the_same_model_is_the_expected_one(said: ModelInfo) -> None:
    """Whatever file and version it has: another page says what follows of these."""
    assert not mistaken(said, MODEL, [MODEL, MODEL])


def test_the_first_worker_at_an_address_is_believed() -> None:
    """There is nothing to compare it with."""
    assert not mistaken(MODEL, None, [])


def test_another_name_is_another_model() -> None:
    """Though it takes the same."""
    said = replace(MODEL, name="other")
    assert mistaken(said, MODEL, []) == "model 'other' is served there now, not 'm'"
    assert not mistaken(said, None, [MODEL]), "names are those of directories, and may differ"


def test_a_new_version_may_take_something_else_where_nobody_contradicts() -> None:
    """It is the whole pool, and so what the pool serves."""
    assert not mistaken(replace(MODEL, inputs=INPUTS), MODEL, [])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"inputs": INPUTS}, r"expected input 'x' FP32\[-1, 2\], not 'x' FP32\[-1, 3\]"),
        (
            {"inputs": (TensorSpec("x", "INT64", (-1, 2)),)},
            r"expected input 'x' FP32\[-1, 2\], not 'x' INT64\[-1, 2\]",
        ),
        ({"inputs": (TensorSpec("z", "FP32", (-1, 2)),)}, "expected inputs x, not inputs z"),
        ({"inputs": ()}, "expected inputs x, not inputs none"),
        (
            {"outputs": (TensorSpec("y", "FP32", (-1,)),)},
            r"expected output 'y' FP32\[-1, 2\], not 'y' FP32\[-1\]",
        ),
        (
            {"outputs": (*MODEL.outputs, TensorSpec("w", "FP32", (-1,)))},
            "expected outputs y, not outputs w, y",
        ),
    ],
    ids=["shape", "datatype", "name", "none", "rank", "one more"],
)
@pytest.mark.parametrize("before", [None, MODEL], ids=["first", "again"])
def test_what_the_pool_does_not_take_is_another_model(
    said: dict[str, tuple[TensorSpec, ...]], why: str, before: ModelInfo | None
) -> None:
    """Requests are read by what the pool takes, and would not fit it."""
    found = mistaken(replace(MODEL, **said), before, [MODEL])
    assert re.search(why, found), found


def test_a_free_dimension_is_like_any_other() -> None:
    """Servers describe the same model more and less precisely."""
    free = replace(MODEL, inputs=(TensorSpec("x", "FP32", (-1, -1)),))
    assert not mistaken(free, None, [MODEL])
    assert not mistaken(MODEL, None, [free])
