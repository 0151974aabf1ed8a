# SPDX-License-Identifier: Apache-2.0
"""Drift over the whole program: calm while traffic stays, an alarm that names what shifted."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.support import models
from tests.support.events import wait_gone
from tests.support.serving import Serving
from tests.support.tree import ROOT

pytestmark = pytest.mark.e2e


def text(directory: Path, *, more: str = "") -> str:
    """One cached model whose first 600 rows are the reference."""
    path = models.save(models.times(2.0), directory / "model")
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', processes: 2}\n"
        f"ledger: {{url: 'sqlite:///{directory}/ledger.sqlite3'}}\n"
        f"models: {{m: {{backends: [{{worker: {{path: {path}}}}}], cache: {{}}, "
        f"drift: {{learn_rows: 600, rows_per_second: 100000{more}}}}}}}\n"
    )


def ask(serving: Serving, values: list[float]) -> None:
    """A row for each of *values*, in requests of ten, a hundred over each connection."""
    for start in range(0, len(values), 100):
        with closing(http.client.HTTPConnection(serving.http, timeout=60)) as connection:
            hundred = values[start : start + 100]
            for at in range(0, len(hundred), 10):
                part = hundred[at : at + 10]
                x = {"name": "x", "datatype": "FP32", "shape": [len(part), 1], "data": part}
                headers = {"Content-Type": "application/json"}
                body = json.dumps({"inputs": [x]})
                connection.request("POST", "/v2/models/m/infer", body, headers)
                answer = connection.getresponse()
                assert answer.status == 200, answer.read()
                answer.read()


def drift(
    serving: Serving, rows: int, query: str = "", model: str = "m", *, more: bool = False
) -> dict[str, Any]:
    """What is said of *model* once *rows* rows have come in, and no *more*."""
    while True:
        status, said = serving.get(f"/v1/drift/{model}{query}", admin=True)
        found: dict[str, Any] = json.loads(said)
        if status == 200 and found["seen_rows"] >= rows:
            assert more or found["seen_rows"] == rows
            return found


def test_shifted_traffic_alarms_and_names_the_feature(tmp_path: Path) -> None:
    """Hits of the cache count as much as misses, over all gateway processes."""
    rng = Random(1)

    def normal(count: int, shift: float = 0.0) -> list[float]:
        # Few values, so that nearly all rows of later requests are in the cache.
        return [round(rng.gauss(10 + shift, 2), 1) for _ in range(count)]

    with Serving(tmp_path, text(tmp_path)).ready() as serving:
        ask(serving, normal(400))
        assert drift(serving, 400)["state"] == "learning"
        ask(serving, normal(400))
        drift(serving, 800)
        ask(serving, normal(1000))
        calm = drift(serving, 1800)
        assert calm["state"] == "calm", calm
        assert calm["looked_at_rows"] == 1800
        cached = serving.metrics("infergate_cache_rows_total", admin=True)
        assert sum(count for labels, count in cached.items() if '"hit"' in labels) > 500
        ask(serving, normal(1500, shift=3.0))
        found = drift(serving, 3300)
        assert found["state"] == "alarm", found
        assert {each["name"] for each in found["features"] if each["alarm"]} == {"x", "y"}
        assert "of the last 1h differs from the first" in found["sentence"]
        # It goes on where it was when the control process is started anew.
        pid = serving.children()["gateway.control"]
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        assert wait_gone(pidfd)
        os.close(pidfd)
        again: dict[str, Any] = {}
        while not again:
            with suppress(OSError):
                again = drift(serving, 3300)
        assert (again["state"], again["rows"]) == (found["state"], found["rows"])
        status, answer = serving.act("/v1/drift/m/reset")
        assert (status, answer["state"]) == (200, "learning")


def test_what_is_asked_wrongly_is_told(tmp_path: Path) -> None:
    """Models without the section, windows that there are not, files that are no reference."""
    with Serving(tmp_path, text(tmp_path)).ready() as serving:
        status, said = serving.get("/v1/drift/other", admin=True)
        assert (status, "there are: m" in said) == (404, True)
        status, said = serving.get("/v1/drift/m?window=1y", admin=True)
        assert (status, "expected 1h or 24h" in said) == (400, True)
        assert json.loads(serving.get("/v1/drift", admin=True)[1])["models"]["m"]["state"]
        (tmp_path / "reference.json").write_text("[]")
        reference = f", reference: '{tmp_path}/reference.json'"
        status, answer = serving.reload(text(tmp_path, more=reference))
        assert status == 400
        assert "not a reference of `infergate quality fit`" in answer["faults"][0]


def test_a_reference_is_made_of_data_that_the_model_knows(tmp_path: Path) -> None:
    """With the command line: fit, watch, and an exit code that says whether anything alarms."""
    data = np.load(ROOT / "models" / "digits" / "test.npz")
    pixels = data["inputs"]
    np.savez(tmp_path / "known.npz", inputs=pixels[:225])
    base = (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0'}\n"
        f"ledger: {{url: 'sqlite:///{tmp_path}/ledger.sqlite3'}}\n"
        f"models: {{digits: {{backends: [{{worker: {{path: {ROOT}/models/digits}}}}], "
        "preprocess: [{scale: {factor: 0.0625}}]"
    )
    with Serving(tmp_path, base + "}}\n").ready() as serving:
        made = str(tmp_path / "reference.json")
        known = str(tmp_path / "known.npz")
        where = ("--url", f"http://{serving.http}", "-m", "digits", "-o", made)
        done = infergate("quality", "fit", known, *where)
        assert done[0] == 0, done
        assert "features of 225 rows of digits" in done[1]
        status, _ = serving.reload(f"{base}, drift: {{reference: {made}}}}}}}\n")
        assert status == 200
        admin = ("--admin", serving.admin)
        send(serving, pixels[225:])
        seen = drift(serving, model="digits", rows=len(pixels) - 225, more=True)
        assert seen["state"] == "calm", seen
        assert infergate("quality", "drift", *admin)[0] == 0
        # Dark pictures: what they show is the same.
        send(serving, np.tile(pixels[225:] * 0.3, (3, 1)))
        drift(serving, model="digits", rows=4 * (len(pixels) - 225), more=True)
        code, said, _ = infergate("quality", "drift", "-m", "digits", *admin)
        assert code == 1
        assert "alarm" in said
        assert "By the model's confidence this alone costs" in said
        code, said, _ = infergate("quality", "drift", *admin, "--json")
        assert json.loads(said)["models"]["digits"]["alarms"]
        assert infergate("quality", "fit", known, *where[:4], "-o", "/nowhere/x")[0] == 2


def send(serving: Serving, rows: np.ndarray[Any, Any]) -> None:
    """Ask for *rows*, 25 at a time."""
    for start in range(0, len(rows), 25):
        part = rows[start : start + 25]
        pixels = {
            "name": serving_input(serving), "datatype": "FP32", "shape": list(part.shape),
            "data": part.ravel().tolist(),
        }  # fmt: skip
        status, said = serving.post("/v2/models/digits/infer", {"inputs": [pixels]})
        assert status == 200, said


def serving_input(serving: Serving) -> str:
    """The name of the digits' only input."""
    _, told = serving.get("/v2/models/digits")
    name: str = json.loads(told)["inputs"][0]["name"]
    return name


def infergate(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr
