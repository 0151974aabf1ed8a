# SPDX-License-Identifier: Apache-2.0
"""Golden vectors through the whole program: written, checked, served by, and refused for."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from tests.support.serving import Serving
from tests.support.tree import ROOT

MODEL = ROOT / "models" / "digits"


def config(factor: float, golden: Path | None = None, *, debug: bool = False) -> str:
    """The digits model with a scale of *factor*."""
    return f"""
server: {{http: 127.0.0.1:0, admin: 127.0.0.1:0}}
models:
  digits:
    backends: [{{worker: {{path: {MODEL}}}}}]
    preprocess: [{{scale: {{factor: {factor}}}}}]
    golden: {"null" if golden is None else f"{{file: {golden}}}"}
    debug: {{preprocess: {str(debug).lower()}}}
"""


def infergate(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and errors of the program."""
    command = [sys.executable, "-m", "gateway", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(name="golden")
def fixture_golden(tmp_path: Path) -> Path:
    """What the right steps make of held-out digits, written by the program."""
    (tmp_path / "right.yaml").write_text(config(0.0625))
    file = tmp_path / "golden.npz"
    code, out, err = infergate(
        "golden", "-c", tmp_path / "right.yaml", "--data", MODEL / "test.npz", "-o", file,
        "--rows", "8",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out == f"{file}: golden vectors of digits: image FP32[8, 64]\n"
    return file


@pytest.mark.e2e
def test_check_holds_the_steps_to_golden_vectors(tmp_path: Path, golden: Path) -> None:
    """Exit code 0, or 1 with the place; 2 where it cannot be known."""
    with np.load(golden) as archive:
        np.testing.assert_array_equal(archive["tensor.image"], archive["input.image"] / 16)
    (tmp_path / "wrong.yaml").write_text(config(0.06))
    (tmp_path / "url.yaml").write_text("models: {m: {backends: [{url: 'http://127.0.0.1:9'}]}}")

    good = infergate("check", "-c", tmp_path / "right.yaml", "--golden", golden)
    wrong = infergate("check", "-c", tmp_path / "wrong.yaml", "--golden", golden)
    elsewhere = infergate("check", "-c", tmp_path / "url.yaml", "--golden", golden)
    unknown = infergate("check", "-c", tmp_path / "right.yaml", "--golden", golden, "-m", "x")

    assert good[0] == 0
    assert wrong[0] == 1
    assert wrong[2].startswith(f"{golden}: tensor 'image', row 0, element [")
    assert "expected 0.9375, got 0.9, tolerance 1e-06 + 1e-06 x expected" in wrong[2]
    assert elsewhere[0] == 2
    assert "model 'm' is served elsewhere only" in elsewhere[2]
    assert unknown[0] == 2
    assert "no model 'x'; the configuration has digits" in unknown[2]


@pytest.mark.e2e
def test_a_mismatch_ends_the_start(tmp_path: Path, golden: Path) -> None:
    """With the line that check prints."""
    with Serving(tmp_path, config(0.06, golden)) as serving:
        code, said = serving.ends()

    assert code == 2
    assert f"infergate: {golden}: tensor 'image', row 0" in said


@pytest.mark.e2e
def test_a_mismatch_refuses_the_reload_and_what_runs_goes_on(tmp_path: Path, golden: Path) -> None:
    """And a match is served."""
    digit = np.load(MODEL / "test.npz")["inputs"][:1].astype(np.float32)
    body = {
        "inputs": [
            {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": digit[0].tolist()}
        ]
    }
    with Serving(tmp_path, config(0.0625, golden)) as serving:
        serving.ready()
        before = serving.post("/v2/models/digits/infer", body)
        refused = serving.reload(config(0.06, golden))
        after = serving.post("/v2/models/digits/infer", body)
        applied = serving.reload(config(0.0625, golden, debug=True))
        at_last = serving.post("/v2/models/digits/infer", body)

    assert before[0] == 200
    assert refused[0] >= 400
    assert "tensor 'image', row 0" in json.dumps(refused[1])
    assert after == before
    assert (applied[0], applied[1]["result"]) == (200, "applied")
    assert at_last == before


@pytest.mark.e2e
def test_preprocess_gives_the_tensors_where_it_is_on(tmp_path: Path) -> None:
    """In JSON and in bytes; a bad request is refused as it would be for a prediction."""
    digit = np.load(MODEL / "test.npz")["inputs"][:2].astype(np.float32)
    tensor = {"name": "image", "shape": [2, 64], "datatype": "FP32", "data": digit.tolist()}
    with Serving(tmp_path, config(0.0625)) as serving:
        serving.ready()
        off = serving.post("/v2/models/digits/preprocess", {"inputs": [tensor]})
        serving.reload(config(0.0625, debug=True))
        on = serving.post("/v2/models/digits/preprocess", {"inputs": [tensor]})
        bad = serving.post(
            "/v2/models/digits/preprocess", {"inputs": [{**tensor, "shape": [2, 63]}]}
        )
        unknown = serving.post("/v2/models/x/preprocess", {"inputs": [tensor]})
        asked = json.dumps(
            {
                "inputs": [tensor],
                "outputs": [{"name": "image", "parameters": {"binary_data": True}}],
            }
        ).encode()
        with urllib.request.urlopen(
            f"http://{serving.http}/v2/models/digits/preprocess", asked, timeout=30
        ) as response:
            head = int(response.headers["Inference-Header-Content-Length"])
            raw = response.read()[head:]
        status, _ = serving.get("/v2/models/digits/preprocess")
        counted = serving.metrics("infergate_requests_total")

    assert off[0] == 404
    assert "'debug: {preprocess: true}' in its section turns it on" in off[1]["error"]
    assert on[0] == 200
    (made,) = on[1]["outputs"]
    assert (made["name"], made["datatype"], made["shape"]) == ("image", "FP32", [2, 64])
    np.testing.assert_array_equal(np.float32(made["data"]), digit.reshape(-1) / 16)
    np.testing.assert_array_equal(np.frombuffer(raw, "<f4"), digit.reshape(-1) / 16)
    assert bad[0] == 400
    assert unknown[0] == 404
    assert status == 405
    assert counted['{code="200",model="digits",protocol="v2-preprocess"}'] == 2
