# SPDX-License-Identifier: Apache-2.0
"""Files as the body of an inference call."""

from __future__ import annotations

import pytest

from gateway.edge.routes import V1, V2
from gateway.edge.upload import codec_for, is_upload
from gateway.errors import GatewayError, InvalidRequest, UnsupportedMediaType
from gateway.exchange import Codec
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.model import ModelInfo
from gateway.wire.tensor import Tensor
from tests.support.edge import Spec, model
from tests.support.exchanges import make_exchange

PICTURES: Spec = ("x", "BYTES", (-1,))
FORM = "multipart/form-data; boundary=b"


def form(*parts: tuple[str, bytes]) -> bytes:
    """A body of named *parts*."""
    lines = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts
    ]
    return b"".join([*lines, b"--b--\r\n"])


def decode(info: ModelInfo, content_type: str, body: bytes, codec: Codec = V2) -> InferRequest:
    """*body* as what *content_type* says, for the model *info*."""
    exchange = make_exchange(body=body)
    return codec_for(codec, {"content-type": content_type}).decode(exchange, info)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, -1)])
def test_a_picture_is_one_row(shape: tuple[int, ...]) -> None:
    """Its bytes are the element, whatever the subtype is."""
    request = decode(model([("x", "BYTES", shape)]), "image/x-whatever", b"\xff\xd8 bytes")

    (tensor,) = request.inputs
    assert tensor.shape == (1,) * len(shape)
    assert tensor.array().ravel().tolist() == [b"\xff\xd8 bytes"]


def test_parts_of_a_form_are_rows_of_the_inputs_they_are_named_after() -> None:
    """In the order of the body; inputs in that of the model."""
    info = model([PICTURES, ("y", "BYTES", (-1, 1))])
    body = form(("y", b"1"), ("x", b"2"), ("x", b""), ("y", b"3\r\n"))

    request = decode(info, FORM, body)

    assert [(t.name, t.shape) for t in request.inputs] == [("x", (2,)), ("y", (2, 1))]
    assert [t.array().ravel().tolist() for t in request.inputs] == [[b"2", b""], [b"1", b"3\r\n"]]


def test_a_model_without_batch_takes_its_own_number() -> None:
    """No fewer, no more."""
    info = model([("x", "BYTES", (2,))], [("y", "FP32", (3,))], batched=False)

    assert decode(info, FORM, form(("x", b"1"), ("x", b"2"))).inputs[0].shape == (2,)
    with pytest.raises(InvalidRequest, match=r"shape \[1\] does not fit \[2\]"):
        decode(info, FORM, form(("x", b"1")))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((), "input 'x' of model 'm' is missing"),
        ((("file", b"1"),), "input 'file' is not an input of model 'm'; expected 'x'"),
    ],
)
def test_parts_must_be_the_inputs(parts: tuple[tuple[str, bytes], ...], said: str) -> None:
    """The answer names those that there are."""
    with pytest.raises(InvalidRequest, match=said):
        decode(model([PICTURES]), FORM, form(*parts))


def test_inputs_must_have_equally_many_parts() -> None:
    """A row is one of each."""
    info = model([PICTURES, ("y", "BYTES", (-1,))])
    with pytest.raises(InvalidRequest, match="'x' has 2, 'y' has 1"):
        decode(info, FORM, form(("x", b"1"), ("x", b"2"), ("y", b"3")))


@pytest.mark.parametrize(
    ("inputs", "content_type", "said"),
    [
        ((("x", "FP32", (-1, 2)),), "image/png", r"'x' is FP32\[-1, 2\]; send tensors"),
        ((("x", "BYTES", (-1, 3)),), FORM, r"'x' is BYTES\[-1, 3\]"),
        ((PICTURES, ("y", "FP32", (-1,))), FORM, r"'y' is FP32\[-1\]"),
        ((PICTURES, ("y", "BYTES", (-1,))), "image/png", "parts named 'x', 'y'"),
        ((PICTURES,), "multipart/mixed; boundary=b", "'multipart/mixed' is not offered"),
    ],
)
def test_what_takes_no_files_is_415(inputs: tuple[Spec, ...], content_type: str, said: str) -> None:
    """The answer says what the model takes."""
    with pytest.raises(UnsupportedMediaType, match=said) as raised:
        decode(model(inputs), content_type, b"--b--")

    assert raised.value.status == 415


def test_fp16_outputs_need_tensors_on_the_way_in() -> None:
    """The answer to an upload is JSON, which carries none."""
    with pytest.raises(InvalidRequest, match="FP16 cannot be carried by JSON"):
        decode(model([PICTURES], [("y", "FP16", (-1, 3))]), "image/png", b"")


@pytest.mark.parametrize("codec", [V1, V2])
def test_the_answer_is_that_of_the_protocol(codec: Codec) -> None:
    """Of v1 as rows."""
    info = model([PICTURES], [("y", "INT64", (-1,))])
    exchange = make_exchange(body=b"picture")
    ours = codec_for(codec, {"content-type": "image/png"})
    request = ours.decode(exchange, info)
    data = Tensor("y", "INT64", (1,), (7).to_bytes(8, "little"))

    answer = ours.encode(exchange, request, InferResponse((data,), version="1"), info)

    assert ours.protocol == codec.protocol
    expected = b'{"predictions":[7]}' if codec is V1 else b'"data":[7]'
    assert expected in answer.body.replace(b" ", b"")
    error = GatewayError("no")
    assert ours.refuse(exchange, error).body == codec.refuse(exchange, error).body


@pytest.mark.parametrize(
    ("headers", "upload"),
    [
        ({"content-type": "image/jpeg"}, True),
        ({"content-type": "IMAGE/WebP; q=1"}, True),
        ({"content-type": "Multipart/Form-Data; boundary=x"}, True),
        ({"content-type": "application/json"}, False),
        ({"content-type": "application/octet-stream"}, False),
        ({}, False),
        ({"content-type": "image/jpeg", "inference-header-content-length": "0"}, False),
    ],
)
def test_uploads_are_told_by_their_content_type(headers: dict[str, str], *, upload: bool) -> None:
    """And are never those that have binary tensors."""
    assert is_upload(headers) is upload
    assert (codec_for(V2, headers) is V2) is not upload


def test_two_forms_of_one_body_are_two_questions() -> None:
    """The boundary decides what its parts are, and the remembered question must depend on it."""
    kinds = ["multipart/form-data; boundary=a", "multipart/form-data; boundary=b", "image/png"]
    spellings = {codec_for(V2, {"content-type": kind}).spelling for kind in kinds}
    assert len(spellings | {V2.spelling, V1.spelling}) == 5
