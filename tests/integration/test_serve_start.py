# SPDX-License-Identifier: Apache-2.0
"""``infergate serve``: it becomes ready, or ends at once with one clear line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.wire.listen import address_of, listen
from tests.support.serving import Serving
from tests.support.tree import ROOT

pytestmark = pytest.mark.e2e

PORTS = "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s}\n"


def models(**paths: str | Path) -> str:
    """The models section: one worker for each name and path."""
    sections = [
        f"  {name}: {{backends: [{{worker: {{path: {path}}}}}]}}\n" for name, path in paths.items()
    ]
    return "models:\n" + "".join(sections)


DIGITS = models(digits=ROOT / "models" / "digits")


def test_serves_once_it_says_that_it_is_ready(tmp_path: Path) -> None:
    """Ready is said when every model answers, and a stop leaves nothing behind."""
    with Serving(tmp_path, PORTS + DIGITS) as serving:
        serving.ready()
        assert serving.get("/v2/health/ready")[0] == 200
        row = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}
        status, answer = serving.post("/v2/models/digits/infer", {"inputs": [row]})
        assert status == 200
        assert {output["name"] for output in answer["outputs"]} == {"label", "probabilities"}
        assert serving.get("/healthz", admin=True)[0] == 200
        serving.stop()
        assert serving.ends()[0] == 0
        assert list(serving.temporary.iterdir()) == []


def test_the_runtime_directory_is_for_its_user_alone(tmp_path: Path) -> None:
    """Whoever can open a worker's socket can use its model."""
    with Serving(tmp_path, PORTS + DIGITS) as serving:
        serving.ready()
        (runtime,) = serving.temporary.iterdir()
        assert runtime.stat().st_mode & 0o777 == 0o700
        serving.stop()
        assert serving.ends()[0] == 0


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """The line names the address and what to do about it."""
    (taken,) = listen("127.0.0.1:0", key="server.http")
    with taken, Serving(tmp_path, DIGITS, "--http", address_of(taken)) as serving:
        said = (
            f"infergate: http {address_of(taken)}: address already in use; "
            "stop what listens there or set server.http\n"
        )
        assert serving.ends() == (2, said)


def test_a_missing_configuration_is_one_line(tmp_path: Path) -> None:
    """The file is named."""
    with Serving(tmp_path, "", "-c", str(tmp_path / "absent.yaml")) as serving:
        code, said = serving.ends()
    assert code == 2
    assert "absent.yaml" in said
    assert said.count("\n") == 1


def test_a_missing_model_ends_the_start(tmp_path: Path) -> None:
    """The path is named, and nothing is left running."""
    with Serving(tmp_path, PORTS + models(absent=tmp_path / "absent")) as serving:
        code, said = serving.ends()
    assert code == 2
    assert re.search(r"absent", said)
    assert "Traceback" not in said


def test_a_file_that_is_no_model_ends_the_start(tmp_path: Path) -> None:
    """One line from the worker says which file; the other processes end with it."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is not a model")
    text = PORTS + models(broken=broken, digits=ROOT / "models" / "digits")
    with Serving(tmp_path, text) as serving:
        code, said = serving.ends()
    assert code == 2
    assert said.count("\n") == 1
    assert "broken.onnx" in said
    assert "Traceback" not in said
    assert list(serving.temporary.iterdir()) == []
