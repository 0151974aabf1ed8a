# SPDX-License-Identifier: Apache-2.0
"""Pictures as the body of an inference call, by both ways in, and through the whole program."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.tensor import Tensor
from tests.support import direct
from tests.support.dataport import WAYS, data_port
from tests.support.edge import Service, model
from tests.support.http import connect
from tests.support.pictures import saved
from tests.support.serving import Serving
from tests.support.tree import ROOT

INFER = "/v2/models/m/infer"
LEVELS = 15


def lengths(request: InferRequest) -> InferResponse:
    """How long each element is."""
    sizes = [len(each) for each in request.inputs[0].array()]
    return InferResponse((Tensor.of("y", np.array(sizes)),), version="1")


def service() -> Service:
    """A model that takes files."""
    info = model([("x", "BYTES", (-1,))], [("y", "INT64", (-1,))])
    return Service(info, lengths)


def form(*files: bytes, name: str = "x") -> tuple[bytes, dict[str, str]]:
    """A form with *files*, and its header."""
    body = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="%b"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n%b\r\n" % (name.encode(), file)
        for file in files
    )
    return body + b"--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each way into the process."""
    value: str = request.param
    return value


async def test_a_file_is_an_inference_call(way: str) -> None:
    """Alone or in a form, large or small, between other calls on one connection."""
    plain = {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["abc"]}]}
    async with data_port(service(), way=way) as port, connect(port) as client:
        for size in (0, 5, 200_000):
            assert (await client.ask("POST", INFER, plain)).json()["outputs"][0]["data"] == [3]
            answer = await client.ask("POST", INFER, b"\xff" * size, {"Content-Type": "image/png"})
            assert answer.status == 200
            assert answer.json()["outputs"] == [
                {"name": "y", "datatype": "INT64", "shape": [1], "data": [size]}
            ]
            answer = await client.ask("POST", INFER, *form(b"1" * size, b"22"))
            assert answer.json()["outputs"][0]["data"] == [size, 2]
        v1 = await client.ask("POST", "/v1/models/m:predict", *form(b"1", b"22"))
        assert v1.json() == {"predictions": [1, 2]}


async def test_a_file_for_a_model_of_tensors_is_415(way: str) -> None:
    """The answer says what to send, and the connection stays open."""
    async with data_port(way=way) as port, connect(port) as client:
        for body, headers in (form(b"1"), (b"1", {"Content-Type": "image/png"})):
            answer = await client.ask("POST", INFER, body, headers)
            assert answer.status == 415
            assert ("Infergate-Error", "unsupported_media_type") in answer.headers
            assert "takes no files: its input 'x' is FP32[-1, 2]" in answer.json()["error"]


async def test_a_file_above_the_limit_is_413(way: str) -> None:
    """Uploads have the limits of every other body."""
    async with data_port(service(), way=way, max_body=1000) as port, connect(port) as client:
        answer = await client.ask("POST", INFER, b"\0" * 1001, {"Content-Type": "image/png"})
        assert answer.status == 413


async def test_a_form_that_is_none_is_400(way: str) -> None:
    """And says where it goes wrong."""
    async with data_port(service(), way=way) as port, connect(port) as client:
        body, headers = form(b"1")
        answer = await client.ask("POST", INFER, body[:-9], headers)
        assert (answer.status, answer.json()["error"]) == (400, "body: part 0 has no end")


class Digits:
    """The example's model, asked in every spelling."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}"

    def ask(
        self, body: bytes, headers: dict[str, str], path: str = "/v2/models/digits/infer"
    ) -> dict[str, Any]:
        """The answer to one call."""
        with urlopen(Request(self._url + path, body, headers)) as answer:  # noqa: S310 - http
            document: dict[str, Any] = json.load(answer)
        return document

    def labels(self, body: bytes, headers: dict[str, str]) -> list[int]:
        """The labels of all rows, by v2."""
        outputs = self.ask(body, headers)["outputs"]
        labels: list[int] = next(each["data"] for each in outputs if each["name"] == "label")
        return labels


def example(more: str = "") -> str:
    """The shipped configuration on free ports, with *more* keys of the model."""
    text = (ROOT / "config" / "pictures.yaml").read_text()
    text = text.replace("models/digits}", f"{ROOT / 'models' / 'digits'}}}")
    return f'{text}{more}\nserver: {{http: "127.0.0.1:0", admin: "127.0.0.1:0"}}\n'


@pytest.mark.e2e
def test_one_picture_is_one_question_however_it_is_sent(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The cache goes by the encoded bytes; what is no picture is refused and never stored."""
    picture = saved(Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)))
    url = "/v2/models/digits/infer"
    cached = "    cache: {ttl: 10m}\n"
    with Serving(Path(tmp_path_factory.mktemp("p")), example(cached)) as serving:
        base = f"http://{serving.ready().http}"

        def ask(body: bytes, headers: dict[str, str]) -> tuple[int, str, dict[str, Any]]:
            try:
                with urlopen(Request(base + url, body, headers)) as answer:  # noqa: S310 - http
                    return answer.status, answer.headers["Cache-Status"], json.load(answer)
            except HTTPError as error:
                with error:
                    return error.code, "", json.load(error)

        png = {"Content-Type": "image/png"}
        first = ask(picture, png)
        again = [ask(picture, png), ask(picture, {"Content-Type": "image/x"})]
        again.append(ask(*form(picture, name="image")))
        second = saved(Image.fromarray(np.full((8, 8), 200, np.uint8)))
        pair = [ask(*form(picture, second, name="image")) for _ in range(2)]
        broken = [ask(picture[:-20], png) for _ in range(2)]
        other = {"Content-Type": "multipart/form-data; boundary=other"}
        misread = ask(form(picture, name="image")[0], other)

    assert first[0] == 200
    assert "miss" in first[1]
    assert all("hit" in status for _, status, _ in again)
    assert all(answer["outputs"] == first[2]["outputs"] for _, _, answer in again)
    assert [len(answer["outputs"][0]["data"]) for _, _, answer in pair] == [2, 2]
    assert "hit" in pair[1][1]
    assert [status for status, _, _ in broken] == [400, 400]
    assert "input 'image' row 0: the png is cut off" in broken[0][2]["error"]
    # The same bytes with another boundary are another body, not the remembered one.
    assert misread[0] == 400


@pytest.mark.e2e
def test_digits_from_files_reach_the_held_out_accuracy(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The example as it is shipped: every held-out row as a PNG has the label of its numbers."""
    with np.load(ROOT / "models" / "digits" / "test.npz") as held_out:
        inputs, truth = held_out["inputs"], held_out["labels"]
    expected = direct.digits(inputs.astype(np.float32))
    files = [
        saved(Image.fromarray((row.reshape(8, 8) * LEVELS).astype(np.uint8))) for row in inputs
    ]
    with Serving(Path(tmp_path_factory.mktemp("p")), example()) as serving:
        digits = Digits(serving.ready().http)
        by_form: list[int] = []
        for start in range(0, len(files), 100):
            by_form += digits.labels(*form(*files[start : start + 100], name="image"))
        singly = [digits.labels(file, {"Content-Type": "image/png"})[0] for file in files[:20]]
        elements = b"".join(struct.pack("<I", len(file)) + file for file in files[:20])
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": "image",
                        "datatype": "BYTES",
                        "shape": [20],
                        "parameters": {"binary_data_size": len(elements)},
                    }
                ]
            }
        ).encode()
        binary = digits.labels(head + elements, {"Inference-Header-Content-Length": str(len(head))})
        texts = [base64.b64encode(file).decode() for file in files[:20]]
        json_body = {
            "inputs": [{"name": "image", "datatype": "BYTES", "shape": [20], "data": texts}]
        }
        as_json = digits.labels(json.dumps(json_body).encode(), {})
        v1_body = {"instances": [{"b64": text} for text in texts]}
        v1 = digits.ask(json.dumps(v1_body).encode(), {}, "/v1/models/digits:predict")

    assert by_form == expected
    assert np.mean(np.array(by_form) == truth) == np.mean(np.array(expected) == truth) > 0.98
    for spelling in (singly, binary, as_json, [each["label"] for each in v1["predictions"]]):
        assert spelling == expected[:20]
