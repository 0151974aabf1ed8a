# SPDX-License-Identifier: Apache-2.0
"""`infergate bench` with questions to a real gateway: what the account and the history say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.lab.account.account import Watch
from gateway.lab.load.measure import measure
from gateway.lab.load.run import Plan, Run
from gateway.lab.report.document import read
from tests.support.scripted_target import ScriptedTarget
from tests.support.serving import Serving
from tests.support.tree import ROOT

CONFIG = f"""
server: {{http: 127.0.0.1:0, admin: 127.0.0.1:0}}
models:
  digits:
    backends: [{{worker: {{path: {ROOT}/models/digits}}}}]
"""
BENCH = [sys.executable, "-m", "gateway", "bench"]


def _bench(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BENCH, *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "INFERGATE_BENCH_DIR": str(directory / "kept")},
    )  # fmt: skip


@pytest.mark.e2e
async def test_a_gateway_is_accounted_for(tmp_path: Path) -> None:
    """Its processes by name, its spans by Server-Timing and metrics, its batches."""
    with Serving(tmp_path, CONFIG) as serving:
        url = f"http://{serving.ready().http}"
        watch = await Watch.begin(url)
        run: Run = await measure(
            Plan(url=url, model="digits", rate=50.0, duration=2.0, warmup=0.0, processes=1)
        )
        account = await watch.account(run)

    names = {use.name for use in account.processes}
    assert names == {"supervisor", "gateway", "control", "worker digits-0", "load generator"}
    assert all(use.memory > 1 << 20 for use in account.processes if use.role != "generator")
    assert account.machine is not None
    spans = {span.name: span for span in account.spans}
    assert {"gateway", "transport", "inference", "network"} <= spans.keys()
    assert spans["transport"].source == "metrics less Server-Timing"
    assert sum(span.seconds for span in account.spans) == pytest.approx(run.response.mean, rel=0.05)
    facts = account.facts
    assert facts.batch_rows is not None
    assert facts.batch_rows >= 1
    assert facts.attempts == pytest.approx(1, abs=0.05)
    assert account.sentence


async def test_a_server_elsewhere_is_not_looked_for_here() -> None:
    """No process and no metric of another machine, and no fault."""
    watch = await Watch.begin("http://203.0.113.1:9")
    assert repr(watch) == "<Watch http://203.0.113.1:9>"


def test_questions_are_answered_written_and_kept(tmp_path: Path) -> None:
    """A sweep with a page, then the history; whether it is valid is up to the machine."""
    page, document = tmp_path / "r.html", tmp_path / "r.json"
    with ScriptedTarget("--service", "0.001") as target:
        done = _bench(
            tmp_path, target.url, "-m", "m", "--sweep", "concurrency=1,2", "--duration", "1s",
            "--warmup", "200ms", "--report", str(page), "--json", str(document), "--name", "one",
        )  # fmt: skip
        other = _bench(
            tmp_path, target.url, "-m", "m", "--concurrency", "2", "--duration", "1s",
            "--warmup", "200ms", "--name", "two", "--slo", "p99=5s",
        )  # fmt: skip

    assert (done.stderr, other.stderr) == ("", "")
    report = read(str(document))
    assert report.sweep is not None
    assert [one.value for one in report.sweep.points] == [1, 2]
    assert "Plotly.react" in page.read_text()
    assert "kept as one: infergate bench history show one" in done.stdout
    assert other.returncode == 1
    assert "a closed loop says nothing of an SLO" in other.stdout
    kept = _bench(tmp_path, "history", "list")
    assert "one" in kept.stdout
    assert "two" in kept.stdout
    shown = _bench(tmp_path, "history", "show", "one", "--csv", str(tmp_path / "r.csv"))
    assert shown.returncode == 0
    assert (tmp_path / "r.csv").read_text().count("\n") == 3


def test_what_cannot_be_asked_is_one_line(tmp_path: Path) -> None:
    """Before anything is sent to the server that is not there."""
    for arguments, says in (
        (["--slo", "p99=20"], "SLO p99: expected a time with its unit"),
        (["--sweep", "threads=1"], "expected rate, concurrency, batch, payload"),
        (["--rate", "1", "--baseline", "lost"], "no report 'lost'"),
        (["--rate", "1", "--name", "a/b"], "name 'a/b': expected up to 100 letters"),
    ):
        done = _bench(tmp_path, "http://127.0.0.1:1", "-m", "m", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert says in done.stderr
