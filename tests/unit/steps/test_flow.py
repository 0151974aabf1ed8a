# SPDX-License-Identifier: Apache-2.0
"""Steps put together: what clients see, in which order steps run, and how faults are told."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.errors import ConfigError
from gateway.steps import bind_inputs, bind_outputs, client_info, digest
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Tensor
from tests.support.steps import input_step, model, output_step, takes

TO_FLOAT = input_step("cast", **{"from": "UINT8", "to": "FP32"})
FLAT = input_step("reshape", **{"from": [-1, 2, 3], "shape": [-1, 6]})


def test_without_steps_clients_see_the_model() -> None:
    """Nothing is between them."""
    info = model()

    assert client_info(info) == info
    given = (Tensor.of("x", np.ones((1, 6), np.float32)),)
    assert bind_inputs(info, [])(given) is given
    assert bind_outputs(info, [])(given) is given


def test_clients_see_what_the_first_step_takes_and_the_last_one_gives() -> None:
    """Types and shapes are followed through all steps; the rest stays the model's own."""
    info = model(outputs=(TensorSpec("y", "FP32", (-1, 4)),))

    seen = client_info(
        info,
        [FLAT, TO_FLOAT, input_step("scale", factor=2)],
        [output_step("softmax"), output_step("argmax")],
    )

    assert seen.inputs == (TensorSpec("x", "UINT8", (-1, 2, 3)),)
    assert seen.outputs == (TensorSpec("y", "INT64", (-1,)),)
    assert (seen.name, seen.digest, seen.batched) == (info.name, info.digest, True)


def test_steps_run_in_the_order_of_the_list() -> None:
    """Scaled and then clipped is not clipped and then scaled."""
    scale, clip = input_step("scale", factor=10), input_step("clip", max=5)
    sent = (Tensor.of("x", np.ones((1, 6), np.float32)),)

    (first,) = bind_inputs(model(), [scale, clip])(sent)
    (second,) = bind_inputs(model(), [clip, scale])(sent)

    assert (first.array()[0, 0], second.array()[0, 0]) == (5, 10)


def test_a_step_changes_its_own_input_alone() -> None:
    """The others go on as they came, in whatever order they are sent."""
    info = model(inputs=(TensorSpec("a", "FP32", (-1, 1)), TensorSpec("b", "FP32", (-1, 1))))
    one = np.ones((1, 1), np.float32)
    sent = (Tensor.of("b", one), Tensor.of("a", one))

    made = bind_inputs(info, [input_step("scale", factor=3, input="b")])(sent)

    assert made[1] is sent[1]
    assert made[0].array().tolist() == [[3.0]]


def test_the_input_must_be_named_where_there_are_several() -> None:
    """The message lists them."""
    info = model(inputs=(TensorSpec("a", "FP32", (-1, 1)), TensorSpec("b", "FP32", (-1, 1))))

    with pytest.raises(ConfigError, match="say which 'input' is meant: the model has 'a', 'b'"):
        client_info(info, [input_step("scale", factor=3)])
    with pytest.raises(ConfigError, match="there is no input 'c'; the model has 'a', 'b'"):
        client_info(info, [input_step("scale", factor=3, input="c")])


def test_a_fault_names_model_section_number_and_step() -> None:
    """Both lists are told of at once."""
    with pytest.raises(ConfigError) as caught:
        client_info(
            takes("INT64", -1, 6),
            [TO_FLOAT, input_step("scale", factor=2)],
            [output_step("softmax"), output_step("top_k", k=9)],
        )

    needs = "scale takes FP16, FP32, FP64 (a cast before it can change that)"
    assert caught.value.faults == [
        f"model 'm': preprocess[1] scale: input 'x' is INT64 here; {needs}",
        "model 'm': postprocess[1] top_k: k is 9, but output 'y' has 6 classes",
    ]


def test_digest_tells_lists_apart_by_their_order_and_side() -> None:
    """Each list of steps has a digest of its own."""
    scale, clip = input_step("scale", factor=10), input_step("clip", max=5)
    softmax = output_step("softmax")

    digests = [
        digest(),
        digest([scale]),
        digest([scale, clip]),
        digest([clip, scale]),
        digest([scale, scale]),
        digest([scale], [softmax]),
        digest([], [softmax]),
    ]

    assert len(set(digests)) == len(digests)
    assert digest([scale, clip], [softmax]) == digest([scale, clip], [softmax])
    assert {len(each) for each in digests} == {32}
