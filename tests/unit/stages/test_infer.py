# SPDX-License-Identifier: Apache-2.0
"""Infer: from an exchange to its model's stack and back, and the memory of repeats."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gateway.errors import InvalidRequest, ModelNotFound, NoReadyEndpoint, Shed
from gateway.exchange import Exchange
from gateway.stages.infer import OFF_LOOP, Infer
from gateway.stages.questions import Questions
from gateway.wire.message import CacheRules, InferRequest, InferResponse
from gateway.wire.probe import PRIORITY
from gateway.wire.tensor import Tensor
from tests.support.bridge import SECRET, Model, Notebook, Store, exchange
from tests.support.upstream import MODEL

if TYPE_CHECKING:
    from gateway.wire.model import ModelInfo


async def test_decodes_asks_and_encodes() -> None:
    """With the model's version where a worker did not say it, and its digest in the trace."""
    model, codec = Model(), Notebook()
    asked = exchange(codec)
    answer = await Infer({"m": model})(asked)
    assert answer.body == b"1:body"
    assert asked.trace.digest == MODEL.digest
    assert model.seen[0].trace is asked.trace


async def test_a_probe_goes_behind_everybody_and_is_not_remembered() -> None:
    """A client that asks the same afterwards is no probe."""
    model, codec = Model(keyed=True), Notebook()
    model.questions = Questions(Store(), secret=SECRET)
    infer = Infer({"m": model})
    for probe in (True, True, False):
        asked = exchange(codec)
        asked.trace.probe = probe
        await infer(asked)
    assert [request.priority for request in model.seen] == [PRIORITY, PRIORITY, 0]
    assert len(codec.decoded) == 3


async def test_an_unknown_model_is_not_found() -> None:
    """The message names the models that there are."""
    with pytest.raises(ModelNotFound, match="unknown model 'm'; this server has: a, b"):
        await Infer({"b": Model(), "a": Model()})(exchange(Notebook()))


async def test_an_unknown_version_is_not_found() -> None:
    """The one that is served is named."""
    infer = Infer({"m": Model()})
    await infer(exchange(Notebook(), version="1"))
    with pytest.raises(ModelNotFound, match="no version 2; it has 1"):
        await infer(exchange(Notebook(), version="2"))


async def test_a_model_that_no_worker_has_described_is_not_ready() -> None:
    """Without its inputs nothing can be decoded."""
    with pytest.raises(NoReadyEndpoint):
        await Infer({"m": Model(info=None)})(exchange(Notebook()))


async def test_what_does_not_decode_reaches_no_worker() -> None:
    """A client's error ends here."""
    model = Model()
    with pytest.raises(InvalidRequest):
        await Infer({"m": model})(exchange(Notebook(), b""))
    assert model.seen == []


@pytest.mark.parametrize(
    ("placed_by", "headers", "key"),
    [
        ("x-user", {"x-user": "ann"}, b"ann"),
        ("x-user", {"x-user": "\udcff"}, b"\xff"),
        ("x-user", {"x-other": "ann"}, b""),
        ("", {"x-user": "ann"}, b""),
    ],
)
async def test_notes_the_header_that_requests_are_placed_by(
    placed_by: str, headers: dict[str, str], key: bytes
) -> None:
    """Where the model's policy goes by one: below this stage nobody sees headers."""
    model = Model()
    model.placed_by = placed_by
    asked = exchange(Notebook())
    asked.headers = headers
    await Infer({"m": model})(asked)
    assert model.seen[0].trace.affinity == key


# Where the work is done.

LARGE = b"x" * (OFF_LOOP + 1)


@pytest.mark.parametrize(
    ("body", "protocol", "length", "threaded"),
    [
        (b"short", "v2", None, False),
        (LARGE, "v2", None, True),
        (LARGE, "v1", None, True),
        (LARGE, "v1", "10", True),
        (LARGE, "v2", "10", False),
        (LARGE, "v2", str(len(LARGE)), True),
        (LARGE, "v2", "-1", True),
        (LARGE, "v2", "²", True),
        (LARGE, "v2", "9" * 5000, True),
        (b'{"datatype":"BYTES"}' + LARGE, "v2", "20", True),
        (b'{"datatype":"BY\\u0054ES"}' + LARGE, "v2", "25", True),
        (b"{}" + LARGE + b"BYTES", "v2", "2", False),
    ],
)
async def test_what_takes_long_to_decode_is_decoded_in_a_thread(
    body: bytes, protocol: str, length: str | None, *, threaded: bool
) -> None:
    """Text and elements hold up the loop, slices do not; a header cannot claim otherwise."""
    codec = Notebook(protocol)
    headers = {} if length is None else {"inference_header_content_length": length}
    with ThreadPoolExecutor(1) as executor:
        await Infer({"m": Model()}, executor=executor)(exchange(codec, body, **headers))
    assert (codec.decoded[0] is not threading.current_thread()) is threaded


async def test_a_large_answer_is_encoded_in_a_thread() -> None:
    """Its text takes as long as that of a question."""
    codec, model = Notebook(), Model()
    with ThreadPoolExecutor(1) as executor:
        infer = Infer({"m": model}, executor=executor)
        await infer(exchange(codec))
        model.answer = lambda _: InferResponse((Tensor("y", "UINT8", (len(LARGE),), LARGE),))
        await infer(exchange(codec))
    here = threading.current_thread()
    assert [thread is here for thread in codec.encoded] == [True, False]


# Repeats.


def remembering(*, keyed: bool = True) -> tuple[Infer, Model, Store]:
    """A model whose questions are remembered."""
    model, store = Model(keyed=keyed), Store()
    model.questions = Questions(store, secret=SECRET)
    return Infer({"m": model}), model, store


async def test_an_exact_repeat_is_not_decoded_again() -> None:
    """It goes through the model's stack all the same, with its own deadline and trace."""
    infer, model, store = remembering()
    codec = Notebook()
    first, second = exchange(codec), exchange(codec)
    second.deadline = 12345.0
    second.rules = CacheRules(no_cache=True)
    for each in (first, second):
        assert (await infer(each)).body == b"1:body"
    assert len(codec.decoded) == 1
    again = model.seen[1]
    assert again.key == b"made"
    assert again.trace is second.trace
    assert again.deadline == 12345.0
    assert again.rules is second.rules
    assert store.sizes == [604]


@pytest.mark.parametrize(
    "other",
    [
        exchange(Notebook(), b"bodz"),
        exchange(Notebook("v1")),
        exchange(Notebook(), inference_header_content_length="4"),
        Exchange(Notebook(), "m", "", "/v2/models/m/infer?a", {}, b"body", "req-1"),
    ],
    ids=["body", "protocol", "header length", "target"],
)
async def test_what_decodes_in_another_way_is_another_question(other: Exchange) -> None:
    """Nothing that decides how bytes are read may be left out."""
    infer, _, store = remembering()
    await infer(exchange(Notebook()))
    await infer(other)
    assert len(store) == 2


async def test_another_model_file_is_another_question() -> None:
    """What was decoded for an earlier one may not fit."""
    questions = Questions(Store(), secret=SECRET)
    newer = type(MODEL)("m", "2", "p", "f" * 64, MODEL.inputs, MODEL.outputs, batched=True)
    asked = exchange(Notebook())
    assert questions.key(asked, MODEL) != questions.key(asked, newer)
    assert questions.key(asked, MODEL) != Questions(Store(), secret=SECRET[::-1]).key(asked, MODEL)


async def test_a_repeat_keeps_the_clients_id() -> None:
    """Labels join on it."""
    infer, _, _ = remembering()
    codec = Notebook()
    codec.id = "mine"
    await infer(exchange(codec))
    again = exchange(codec)
    await infer(again)
    assert again.inference_id == "mine"


async def test_what_the_cache_gave_no_key_is_not_remembered() -> None:
    """It cannot be found there either."""
    infer, _, store = remembering(keyed=False)
    await infer(exchange(Notebook()))
    assert store == {}


async def test_what_was_asked_once_is_not_remembered() -> None:
    """Most of it never comes again; the second time shows that it does."""
    infer, model, store = remembering()
    model.hit = False
    await infer(exchange(Notebook()))
    assert store == {}


async def test_large_tensors_that_are_only_sliced_are_not_remembered() -> None:
    """Their digest takes longer than that; text of the same size is worth it."""
    infer, _, store = remembering()
    await infer(exchange(Notebook(), LARGE, inference_header_content_length="4"))
    assert store == {}
    await infer(exchange(Notebook(), LARGE))
    assert len(store) == 1


async def test_no_store_leaves_no_trace() -> None:
    """The client said so."""
    infer, _, store = remembering()
    asked = exchange(Notebook())
    asked.rules = CacheRules(no_store=True)
    await infer(asked)
    assert store == {}


async def test_a_deadline_in_the_body_is_not_remembered() -> None:
    """Each repeat would have to be read for it."""
    infer, model, store = remembering()

    class Hurried(Notebook):
        def decode(self, exchange: Exchange, model: ModelInfo) -> InferRequest:
            request = super().decode(exchange, model)
            request.deadline = 1.0
            return request

    await infer(exchange(Hurried()))
    assert store == {}
    assert len(model.seen) == 1


async def test_a_remembered_question_keeps_no_body_alive() -> None:
    """Its tensors have buffers of their own."""
    infer, _, store = remembering()
    body = bytearray(b"body")
    asked = exchange(Notebook())
    asked.body = body
    await infer(asked)
    (kept,) = store.values()
    assert isinstance(kept.inputs[0].data, bytes)


async def test_a_full_queue_refuses_before_the_body_is_decoded() -> None:
    """Shedding stays cheap; of a cached model the answer may be there, so that one is looked up."""
    model, codec = Model(), Notebook()
    model.full = True
    with pytest.raises(Shed):
        await Infer({"m": model})(exchange(codec))
    assert codec.decoded == []
    model.questions = Questions(Store(), secret=b"s" * 16)
    await Infer({"m": model})(exchange(codec))
    assert len(codec.decoded) == 1
