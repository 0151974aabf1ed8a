# SPDX-License-Identifier: Apache-2.0
"""A gateway in front of another one, reached by its URL: the answers are onnxruntime's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.direct import run
from tests.support.load import held_out
from tests.support.models import mixed, save
from tests.support.serving import Serving
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

PORTS = "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 2s}\n"


@pytest.fixture(name="far", scope="module")
def the_other_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway with workers of its own."""
    directory = tmp_path_factory.mktemp("far")
    save(mixed(), directory / "mixed")
    text = (
        f"{PORTS}models:\n"
        f"  digits: {{backends: [{{worker: {{path: {ROOT / 'models' / 'digits'}}}}}]}}\n"
        f"  mixed: {{backends: [{{worker: {{path: {directory / 'mixed'}}}}}]}}\n"
    )
    with Serving(directory, text).ready() as serving:
        yield serving


def near(directory: Path, far: Serving, models: str) -> Serving:
    """A gateway in front of *far*."""
    directory.mkdir(exist_ok=True)
    return Serving(directory, f"{PORTS}models:\n{models}".replace("FAR", f"http://{far.http}"))


def image(rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    """A request for *rows* in JSON."""
    data = rows.astype(np.float32).ravel().tolist()
    tensor = {"name": "image", "datatype": "FP32", "shape": list(rows.shape), "data": data}
    return {"id": "mine", "inputs": [tensor]}


def test_answers_are_those_of_onnxruntime(far: Serving, tmp_path: Path) -> None:
    """Under another name than there, for one row and for many, and with outputs selected."""
    rows = held_out("digits")[0].astype(np.float32) * np.float32(0.0625)
    labels, probabilities = run("digits", rows)
    models = "  numbers: {backends: [{url: FAR, remote: {model: digits}}]}\n"
    with near(tmp_path, far, models).ready() as serving:
        for count in (1, 7, len(rows)):
            status, answer = serving.post("/v2/models/numbers/infer", image(rows[:count]))
            assert status == 200
            assert (answer["id"], answer["model_name"]) == ("mine", "numbers")
            found = {output["name"]: output for output in answer["outputs"]}
            assert found["label"]["data"] == labels[:count].tolist()
            given = np.array(found["probabilities"]["data"], np.float32)
            # Bit by bit: a float32 has a decimal form that is read back as itself.
            assert (given.reshape(count, -1) == probabilities[:count]).all()
        asked = image(rows[:2]) | {"outputs": [{"name": "probabilities"}]}
        status, answer = serving.post("/v2/models/numbers/infer", asked)
        assert [output["name"] for output in answer["outputs"]] == ["probabilities"]


def test_what_json_cannot_carry_passes_as_bytes(far: Serving, tmp_path: Path) -> None:
    """BF16, NaN and text come back as they were sent."""
    with near(tmp_path, far, "  mixed: {backends: [{url: FAR}]}\n").ready() as serving:
        numbers = np.array([1.5, np.nan, -np.inf], np.float32)
        halves = np.array([0x3FC0, 0x7FC0, 0xFF80], np.uint16)
        inputs = [
            {"name": "bf16", "datatype": "BF16", "shape": [3],
             "parameters": {"binary_data_size": 6}},
            {"name": "fp32", "datatype": "FP32", "shape": [3],
             "parameters": {"binary_data_size": 12}},
        ]  # fmt: skip
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        body = head + halves.tobytes() + numbers.tobytes()
        status, headers, answer = exchange(serving.http, "mixed", body, len(head))
        assert status == 200, answer
        length = int(headers["Inference-Header-Content-Length"])
        outputs = json.loads(answer[:length])["outputs"]
        blobs, offset = {}, length
        for output in outputs:
            size = output["parameters"]["binary_data_size"]
            blobs[output["name"]] = answer[offset : offset + size]
            offset += size
        assert blobs["same.bf16"] == halves.tobytes()
        assert blobs["same.fp32"] == numbers.tobytes()
        assert blobs["text"].startswith(b"\x03\x00\x00\x001.5")


def test_describes_the_model_as_the_other_one_does(far: Serving, tmp_path: Path) -> None:
    """With the digest of its file, so that a cache in front knows it from another."""
    with near(tmp_path, far, "  digits: {backends: [{url: FAR}]}\n").ready() as serving:
        assert json.loads(serving.get("/v2/models/digits")[1]) == json.loads(
            far.get("/v2/models/digits")[1]
        )


def test_a_refusal_keeps_its_status_and_its_words(far: Serving, tmp_path: Path) -> None:
    """What the steps behind the other gateway refuse is the client's fault here too."""
    with near(tmp_path, far, "  digits: {backends: [{url: FAR}]}\n").ready() as serving:
        rows = np.zeros((1, 64))
        asked = image(rows) | {"parameters": {"sequence_id": 7}}
        assert serving.post("/v2/models/digits/infer", asked)[0] == 200
        status, answer = serving.post("/v2/models/digits/infer", image(np.zeros((1, 63))))
        assert status == 400
        assert "image" in answer["error"]


def test_workers_and_servers_are_one_pool(far: Serving, tmp_path: Path) -> None:
    """Both answer, and their endpoints have names that tell them apart."""
    worker = f"{{worker: {{path: {ROOT / 'models' / 'digits'}}}}}"
    models = f"  digits: {{backends: [{worker}, {{url: FAR}}]}}\n"
    rows = held_out("digits")[0][:40].astype(np.float32) * np.float32(0.0625)
    labels = run("digits", rows)[0].tolist()
    with near(tmp_path, far, models).ready() as serving:
        wait_for(serving, 'state="ready"} 1.0', 2)
        for row, label in zip(rows, labels, strict=True):
            status, answer = serving.post("/v2/models/digits/infer", image(row[None]))
            assert status == 200
            assert answer["outputs"][0]["data"] == [label]
        wait_for(serving, 'endpoint="digits-0",model="digits",result="ok"', 1)
        wait_for(serving, f'endpoint="digits@{far.http}",model="digits",result="ok"', 1)


def wait_for(serving: Serving, part: str, times: int) -> None:
    """Wait until the metrics have *times* lines with *part* in them."""
    while sum(part in line for line in serving.get("/metrics")[1].splitlines()) < times:
        pass


def exchange(where: str, model: str, body: bytes, length: int) -> tuple[int, Any, bytes]:
    """Status, headers and body of the answer to a binary request."""
    import http.client  # noqa: PLC0415 - beside its one use

    connection = http.client.HTTPConnection(where, timeout=60)
    try:
        headers = {"Inference-Header-Content-Length": str(length), "Connection": "close"}
        connection.request("POST", f"/v2/models/{model}/infer", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()
