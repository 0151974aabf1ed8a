# SPDX-License-Identifier: Apache-2.0
"""`infergate tune` and real gateways: a few short trials, from the model to the configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gateway.config import load
from gateway.lab.tune import gateway_bench, precisions
from gateway.lab.tune.command import run
from tests.support.tree import ROOT

DIGITS = str(ROOT / "models/digits")
DATA = str(ROOT / "models/digits/test.npz")
# So loose that a busy machine keeps it: what is tested is the way, not the speed.
SLO = "p99=8s,errors=50%"


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short windows, and no precision is left out for its time."""
    monkeypatch.setattr(precisions, "_SLOWER", 1e9)
    monkeypatch.setattr(gateway_bench, "_WARMUP", 0.1)


# Six gateways are started and ended, which takes long where others use the machine too.
@pytest.mark.timeout(300)
@pytest.mark.e2e
def test_digits_are_tuned_and_the_configuration_is_one_that_serves(tmp_path: Path) -> None:
    """Two settings are tried, the best are measured in turns, and no process is left."""
    output, report = tmp_path / "tuned.yaml", tmp_path / "tuned.json"
    before = set(psutil.Process().children(recursive=True))

    code = run(
        DIGITS, data=DATA, slo=SLO, output=str(output), json=str(report),
        margin=0.05, precisions=("int8-static",), only=("precision",), trials=2, rounds=2,
        shares=(0.3,), finalists=1, window=1.0, concurrency=4, cores=2,
    )  # fmt: skip

    told = json.loads(report.read_bytes())
    assert code == 0
    assert told["complete"] is True
    assert told["settings"] == 2
    assert [one["setting"]["precision"] for one in told["trials"]] == ["fp32", "int8-static"]
    assert [one["measured"]["verdict"]["outcome"] for one in told["trials"]] == ["same", "proven"]
    assert all(one["measured"]["throughput"] > 0 for one in told["trials"])
    assert all(one["measured"]["memory"] > 10 << 20 for one in told["trials"])
    assert told["choice"]["before"]["accuracy"] == pytest.approx(0.99, abs=0.02)
    assert sum(one["chosen"] for one in told["points"]) == 1
    assert any(one["front"] for one in told["points"])
    assert len(load(str(output)).models["digits"].backends) == 1
    assert (tmp_path / "tuned.tune" / "journal.log").is_file()
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.e2e
def test_a_model_that_does_not_load_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the words of the gateway, with exit code 2 and nothing left."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "models: {digits: {backends: [{worker: {path: "
        + DIGITS
        + ", providers: [NoSuchExecutionProvider]}}]}}"
    )

    code = run(
        "digits", data=DATA, config=str(config), output=str(tmp_path / "t.yaml"), slo=SLO,
        only=("layouts",),
    )  # fmt: skip

    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith("infergate tune: the gateway does not start: ")
    assert "NoSuchExecutionProvider" in err
    assert err.count("\n") == 1


_ORPHAN = """
import asyncio, sys
from gateway.lab.tune.document import Document
from gateway.lab.tune.gateway_process import GatewayProcess
from gateway.lab.tune.setting import Setting

async def main():
    async with GatewayProcess(Document.of_model("digits", sys.argv[1]).trial(Setting())) as gateway:
        print(gateway.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.e2e
def test_a_gateway_does_not_outlive_a_search_that_is_killed() -> None:
    """Nothing can be done after SIGKILL, so that the kernel has to."""
    with subprocess.Popen(
        [sys.executable, "-c", _ORPHAN, DIGITS], stdout=subprocess.PIPE, text=True
    ) as search:
        try:
            assert search.stdout is not None
            gateway = psutil.Process(int(search.stdout.readline()))
            workers = gateway.children(recursive=True)
        finally:
            search.kill()
    _, left = psutil.wait_procs([gateway, *workers], timeout=60)

    assert workers
    assert left == []
