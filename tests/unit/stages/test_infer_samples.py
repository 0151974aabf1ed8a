# SPDX-License-Identifier: Apache-2.0
"""Infer: what models that are sampled are told of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.errors import InvalidRequest
from gateway.exchange import Exchange
from gateway.sampling.slices import Slices, Tag
from gateway.stages.infer import Infer
from gateway.stages.questions import Questions
from gateway.wire.message import InferRequest
from gateway.wire.tensor import Tensor
from tests.support.bridge import SECRET, Model, Notebook, Store, exchange

if TYPE_CHECKING:
    from gateway.wire.model import ModelInfo


class Labelled(Notebook):
    """A codec whose bodies end with their label, which is part of the body and not of the row."""

    def decode(self, exchange: Exchange, model: ModelInfo) -> InferRequest:
        """As Notebook."""
        request = super().decode(exchange, model)
        row = bytes(exchange.body).partition(b"|")
        request.inputs = (Tensor("x", "UINT8", (1, len(row[0])), row[0]),)
        request.labels = (row[2].decode(),)
        return request


async def test_labels_need_a_model_that_keeps_predictions() -> None:
    """Otherwise they would be lost without a word."""
    model = Model()
    with pytest.raises(InvalidRequest, match="model 'm' takes no labels, as its configuration"):
        await Infer({"m": model})(exchange(Labelled(), b"row|a"))
    assert model.seen == []

    model.labelled = True
    await Infer({"m": model})(exchange(Labelled(), b"row|a"))
    assert model.seen[0].labels == ("a",)


async def test_a_repeat_with_another_label_brings_its_own() -> None:
    """The shortcut knows bodies, and the label is a part of the body."""
    model = Model(keyed=True)
    model.labelled, model.slices = True, Slices()
    model.questions = Questions(Store(), secret=SECRET)
    codec = Labelled()
    infer = Infer({"m": model})

    for body in (b"row|a", b"row|b", b"row|a", b"row|b"):
        await infer(exchange(codec, body))

    assert [each.labels for each in model.seen] == [("a",), ("b",), ("a",), ("b",)]
    assert len(codec.decoded) == 2
    assert {each.key for each in model.seen} == {b"made"}


async def test_a_sampled_model_is_told_who_asks() -> None:
    """The id that labels join on, and the place of the values by which figures are told apart."""
    model = Model(keyed=True)
    model.slices = slices = Slices([Tag("region", header="x-region")])
    model.questions = Questions(Store(), secret=SECRET)
    infer = Infer({"m": model})

    for region in ("eu", "us", "eu"):
        await infer(exchange(Notebook(), x_region=region))

    assert [each.inference_id for each in model.seen] == ["req-1"] * 3
    assert [slices.listed[each.slice]["region"] for each in model.seen] == ["eu", "us", "eu"]
