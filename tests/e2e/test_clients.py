# SPDX-License-Identifier: Apache-2.0
"""Clients that people have, against the whole program as `make serve` starts it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import yaml

from tests.support.direct import digits, run
from tests.support.load import held_out
from tests.support.serving import Serving
from tests.support.tree import ROOT

pytestmark = pytest.mark.e2e


@pytest.fixture(name="serving", scope="module")
def fixture_serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The quickstart, on free ports."""
    config = yaml.safe_load((ROOT / "config" / "quickstart.yaml").read_text())
    config["server"] = {"http": "127.0.0.1:0", "admin": "127.0.0.1:0"}
    with Serving(tmp_path_factory.mktemp("quickstart"), yaml.safe_dump(config)) as serving:
        yield serving.ready()


@pytest.fixture(name="client")
def fixture_client(serving: Serving) -> Iterator[Any]:
    """NVIDIA's client for the same protocol."""
    client = triton.InferenceServerClient(serving.http)
    yield client
    client.close()


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("rows", [1, 50])
def test_tritonclient_gets_the_labels_of_onnxruntime(
    client: Any, *, binary: bool, rows: int
) -> None:
    """All 450 held-out digits, in requests of *rows*."""
    pixels, _ = held_out("digits")
    labels: list[int] = []
    for start in range(0, len(pixels), rows):
        part = pixels[start : start + rows]
        image = triton.InferInput("image", list(part.shape), "FP32")
        image.set_data_from_numpy(part, binary_data=binary)
        wanted = [triton.InferRequestedOutput("label", binary_data=binary)]
        labels += client.infer("digits", [image], outputs=wanted).as_numpy("label").tolist()

    assert len(labels) == 450
    assert labels == digits(pixels)


def test_the_second_model_answers_as_onnxruntime_does(client: Any) -> None:
    """Other shapes, names and task: two outputs for each of 143 rows."""
    features, _ = held_out("breast-cancer")
    tensor = triton.InferInput("features", list(features.shape), "FP32")
    tensor.set_data_from_numpy(features)
    answer = client.infer("breast-cancer", [tensor])
    diagnosis, scores = run("breast-cancer", features)

    assert answer.as_numpy("diagnosis").tolist() == diagnosis.tolist()
    np.testing.assert_allclose(answer.as_numpy("scores"), scores, rtol=1e-5, atol=1e-6)


def test_tritonclient_reads_health_and_metadata(client: Any) -> None:
    """Everything that it asks before a first request."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.get_server_metadata()["name"] == "infergate"
    metadata = client.get_model_metadata("digits")
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}]
    assert [output["name"] for output in metadata["outputs"]] == ["label", "probabilities"]
    states = {model["name"]: model["state"] for model in client.get_model_repository_index()}
    assert states == {"digits": "READY", "breast-cancer": "READY"}


def test_tritonclient_gets_classes_by_name(client: Any) -> None:
    """The classification extension, with the labels that lie beside the model."""
    pixels, labels = held_out("digits")
    image = triton.InferInput("image", [1, 64], "FP32")
    image.set_data_from_numpy(pixels[:1])
    wanted = [triton.InferRequestedOutput("probabilities", class_count=2)]
    (classes,) = client.infer("digits", [image], outputs=wanted).as_numpy("probabilities")
    names = (ROOT / "models" / "digits" / "labels.txt").read_text().split()

    assert classes[0].decode().split(":")[1:] == [str(labels[0]), names[labels[0]]]


def test_tritonclient_is_told_what_is_wrong(client: Any) -> None:
    """A wrong shape is the client's fault, and the message names it."""
    image = triton.InferInput("image", [1, 63], "FP32")
    image.set_data_from_numpy(np.zeros((1, 63), np.float32))

    with pytest.raises(triton.InferenceServerException, match=r"\[1, 63\] does not fit") as raised:
        client.infer("digits", [image])
    assert raised.value.status() == "400"


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_tritonclient_may_compress(client: Any, compression: str) -> None:
    """Both codings of a request body."""
    pixels, _ = held_out("digits")
    image = triton.InferInput("image", [3, 64], "FP32")
    image.set_data_from_numpy(pixels[:3])
    answer = client.infer("digits", [image], request_compression_algorithm=compression)

    assert answer.as_numpy("label").tolist() == digits(pixels[:3])


def test_the_v1_api_gives_the_same_labels(serving: Serving) -> None:
    """Row format, five images."""
    pixels, _ = held_out("digits")
    status, answer = serving.post("/v1/models/digits:predict", {"instances": pixels[:5].tolist()})

    assert status == 200
    assert [row["label"] for row in answer["predictions"]] == digits(pixels[:5])


def test_the_readme_prints_what_is_answered(serving: Serving) -> None:
    """Every curl line is answered as printed, up to the ellipsis."""
    shown = re.findall(
        r"```sh\ncurl -s http://127\.0\.0\.1:8000(\S+)(?: -d @(\S+))?\n```\n\n"
        r"```json\n(.+?)…?\n```",
        (ROOT / "README.md").read_text(),
    )
    for path, file, expected in shown:
        if file:
            status, value = serving.post(path, json.loads((ROOT / file).read_text()))
            answer = json.dumps(value, separators=(",", ":"))
        else:
            status, answer = serving.get(path)
        assert (status, answer[: len(expected)]) == (200, expected)

    assert (ROOT / "README.md").read_text().count("\ncurl ") == len(shown) > 0


def test_json_and_binary_meet_in_the_cache(serving: Serving, client: Any) -> None:
    """One question, two spellings, one run of the model."""
    pixels, _ = held_out("digits")
    row = pixels[:1] + np.float32(0.125)
    image = triton.InferInput("image", [1, 64], "FP32")
    image.set_data_from_numpy(row)
    client.infer("digits", [image])
    tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": row[0].tolist()}
    _, before = serving.get("/metrics")
    serving.post("/v2/models/digits/infer", {"inputs": [tensor]})
    serving.post("/v2/models/digits/infer", {"id": "again", "inputs": [tensor]})
    _, after = serving.get("/metrics")
    name = 'infergate_cache_total{layer="memory",model="digits",result="hit"}'

    def hits(text: str) -> float:
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    assert hits(after) - hits(before) == 2
