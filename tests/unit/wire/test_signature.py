# SPDX-License-Identifier: Apache-2.0
"""What a model takes and gives, as a check."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest

from gateway.errors import InvalidRequest
from gateway.wire import signature as module
from gateway.wire.signature import Signature, signature_of
from gateway.wire.tensor import Tensor
from tests.support.edge import model


def test_a_model_has_one_signature() -> None:
    """It is made at the first request and found by identity; an equal model has its own."""
    first, second = model(), model()

    assert signature_of(first) is signature_of(first)
    assert signature_of(first).model is first
    assert signature_of(second).model is second


def test_signatures_do_not_pile_up() -> None:
    """A server whose workers come and go for years keeps no more than a few."""
    for _ in range(1000):
        signature_of(model())
    assert len(module._signatures) <= module._MAX_SIGNATURES


def test_shapes_do_not_pile_up() -> None:
    """A client that sends ever new shapes cannot fill the memory."""
    (check,) = Signature(model(inputs=[("x", "UINT8", (-1,))])).inputs.values()
    for size in range(1000):
        check.from_json((size,), msgspec.Raw(b"[" + b",".join([b"7"] * size) + b"]"))
    assert len(check.shapes) <= module._MAX_SHAPES


@pytest.mark.parametrize(
    ("shape", "elements"), [((0, 4), 0), ((3, 4), 12), ((2**31 - 1, 4), (2**31 - 1) * 4)]
)
def test_count_is_the_product(shape: tuple[int, ...], elements: int) -> None:
    """Nothing of that size is ever made."""
    (check,) = Signature(model(inputs=[("x", "FP32", (-1, 4))])).inputs.values()
    assert check.count(shape) == elements


@pytest.mark.parametrize("shape", [(2**31 - 1,) * 3, (0, 2**31 - 1, 2**31 - 1)])
def test_a_shape_that_overflows_is_refused(shape: tuple[int, ...]) -> None:
    """Also where a zero would hide it: numpy counts the others all the same."""
    (check,) = Signature(model(inputs=[("x", "FP32", (-1, -1, -1))])).inputs.values()
    with pytest.raises(InvalidRequest, match="is too large"):
        check.count(shape)


def test_names_are_counted() -> None:
    """Each input once."""
    signature = Signature(model(inputs=[("a", "INT8", (-1,)), ("b", "INT8", (-1,))]))
    signature.check_names(["b", "a"])
    for names, says in ((["a"], "'b' .* missing"), (["a", "a", "b"], "'a' .* given 2 times")):
        with pytest.raises(InvalidRequest, match=says):
            signature.check_names(names)


def test_rows_matter_only_where_they_are_merged() -> None:
    """A model without a batch dimension may take inputs of any lengths."""
    counter = count(1)
    tensors = [Tensor(name, "INT8", (next(counter),), b"") for name in "ab"]
    inputs = [("a", "INT8", (-1,)), ("b", "INT8", (-1,))]

    Signature(model(inputs=inputs, batched=False)).check_rows(tensors)
    with pytest.raises(InvalidRequest, match="'a' has 1, 'b' has 2"):
        Signature(model(inputs=inputs)).check_rows(tensors)


def test_an_unknown_name_is_shortened() -> None:
    """A message is not as long as a client likes."""
    assert len(Signature(model()).unknown_input("n" * 10_000).message) < 300


def test_halves_are_only_answered_as_bytes() -> None:
    """The refusal comes before any work is done."""
    Signature(model()).check_json_outputs()
    with pytest.raises(InvalidRequest, match="output 'h': BF16"):
        Signature(model(outputs=[("h", "BF16", (-1,))])).check_json_outputs()
