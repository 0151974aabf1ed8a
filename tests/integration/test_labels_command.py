# SPDX-License-Identifier: Apache-2.0
"""Labels of a file meet the answers of a running gateway, by the ids that those carried."""

from __future__ import annotations

import json
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest

from tests.support.labelling import ledger_state, until
from tests.support.serving import Serving
from tests.support.tree import ROOT

pytestmark = pytest.mark.e2e

TEXT = (
    "server: {{http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, tenant_header: X-Tenant}}\n"
    "models: {{digits: {{backends: [{{worker: {{path: {path}}}}}], quality: {{classes: 10}}}}}}\n"
)


def asked(http: str, pictures: np.ndarray) -> list[str]:
    """The ids under which the model answered *pictures*."""
    connection = HTTPConnection(http)
    ids = []
    for picture in pictures:
        tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": picture.tolist()}
        connection.request(
            "POST", "/v2/models/digits/infer", json.dumps({"inputs": [tensor]}), {"X-Tenant": "red"}
        )
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        ids.append(response.headers["X-Inference-Id"])
    connection.close()
    return ids


def sent(http: str, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Exit code and output of ``infergate labels``."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "labels", f"http://{http}", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_file_of_labels_is_joined_with_the_answers(tmp_path: Path) -> None:
    """By their ids, within their tenant; sent again, it changes nothing."""
    with np.load(ROOT / "models" / "digits" / "test.npz") as file:
        pictures, truth = file["inputs"][:40].reshape(40, 64), file["labels"][:40]
    text = TEXT.format(path=ROOT / "models" / "digits")
    with Serving(tmp_path, text).ready() as program:
        until(lambda: ledger_state(program)["state"] == "ok")
        ids = asked(program.http, pictures)
        lines = [f"{id_},{label},ignored\n" for id_, label in zip(ids, truth, strict=True)]
        table = tmp_path / "labels.csv"
        table.write_text("order,outcome,city\n" + "".join(lines))
        columns = ("-m", "digits", "--id", "order", "--label", "outcome", "--batch", "16")
        mine = ("-H", "X-Tenant: red")

        # Without its tenant they are labels for other predictions.
        code, said, _ = sent(program.http, str(table), *columns)
        assert (code, said) == (0, "40 buffered\n")
        # Predictions are handed over several times a second, so some labels may be early.
        code, said, _ = sent(program.http, str(table), *columns, *mine)
        assert code == 0, said

        def joined() -> float:
            found = program.metrics("infergate_labels_total", admin=True)
            return found.get('{model="digits",result="joined"}', 0.0)

        until(lambda: joined() == 40)
        code, said, _ = sent(program.http, str(table), *columns, *mine, "--json")
        assert (code, json.loads(said)["counts"]) == (0, {"duplicate": 40})

        bad = "".join(json.dumps({"id": ids[0], "label": each}) + "\n" for each in ("seven", 7))
        code, said, _ = sent(program.http, "-", "-m", "digits", *mine, stdin=bad)
        assert code == 1
        assert "1 rejected" in said
        assert f"first {ids[0]} row 0: label 'seven' is no class" in said
    code, _, said = sent(program.http, str(tmp_path / "none.csv"))
    assert (code, said) == (2, f"infergate: {tmp_path / 'none.csv'}: No such file or directory\n")
