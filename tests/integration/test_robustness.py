# SPDX-License-Identifier: Apache-2.0
"""`infergate evaluate --robustness` on the digits, through the whole program."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.serving import Serving
from tests.support.tree import ROOT

CONFIG = f"""
server: {{http: 127.0.0.1:0, admin: 127.0.0.1:0}}
models:
  digits:
    backends: [{{worker: {{path: {ROOT / "models" / "digits"}}}}}]
    preprocess: [{{scale: {{factor: 0.0625}}}}]
"""


@pytest.mark.e2e
def test_accuracy_falls_with_the_severity(tmp_path: Path) -> None:
    """Each with its n and interval; what is wrong with an option is one line."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "gateway", "evaluate"]
    with Serving(tmp_path, CONFIG) as serving:
        serving.ready()
        command += [
            f"http://{serving.http}", "-m", "digits", "--robustness",
            "--data", str(ROOT / "models" / "digits" / "test.npz"),
        ]  # fmt: skip
        flat, wrong, good = (
            subprocess.run(
                [*command, *more], capture_output=True, text=True, timeout=100, check=False
            )
            for more in (
                [],
                ["--shape", "8by8"],
                ["--shape", "8x8", "--range", "0:16", "--json", str(report)],
            )
        )

    assert flat.returncode == wrong.returncode == 2
    assert "say its height and width with --shape" in flat.stderr
    assert "--shape: expected numbers like 8x8, got '8by8'" in wrong.stderr
    assert (good.returncode, good.stderr) == (0, "")
    probes = json.loads(report.read_bytes())["probes"]
    found = {
        (probe["corruption"], probe["severity"]): probe["accuracy"]
        for probe in probes
        if probe["accuracy"] is not None
    }
    assert found["none", 0]["value"] == pytest.approx(0.9889, abs=1e-4)
    for kind in ("noise", "blur", "brightness"):
        assert found[kind, 5]["upper"] < found["none", 0]["lower"], kind
        assert found[kind, 1]["value"] >= found[kind, 5]["value"]
        assert {found[kind, severity]["n"] for severity in range(1, 6)} == {450}
    assert ("jpeg", 1) in found or find_spec("PIL") is None
    assert "robustness of digits" in good.stdout
