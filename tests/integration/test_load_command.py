# SPDX-License-Identifier: Apache-2.0
"""`infergate bench` as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.lab.bench.command import run as run_bench
from gateway.lab.bench.outputs import Outputs
from gateway.lab.load.run import Plan
from gateway.lab.report.document import read
from tests.support.scripted_target import ScriptedTarget
from tests.support.tree import ROOT

BENCH = [sys.executable, "-m", "gateway", "bench"]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What the command says, and its exit code."""
    return subprocess.run(
        [*BENCH, *arguments, "--no-keep"], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_closed_loop_is_labelled_and_kept(tmp_path: Path) -> None:
    """Table on standard output, everything in the file."""
    path = tmp_path / "run.json"
    with ScriptedTarget("--service", "0.002") as target:
        done = bench(
            target.url, "-m", "m", "--concurrency", "2", "--duration", "1s", "--warmup", "200ms",
            "--json", str(path), "--header", "X-Key: ${PATH}",
        )  # fmt: skip

    assert done.stderr == ""
    assert done.returncode == 0
    assert "closed loop of 2" in done.stdout
    assert "VALID" in done.stdout
    (run,) = read(str(path)).runs
    assert run.ok == len(run.response) > 50
    assert run.duplicates == 0
    # A key is never kept.
    assert os.environ["PATH"] not in path.read_text()


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    """The first one stops the load and the run is told; the bar stands on a terminal."""
    path = tmp_path / "run.json"
    ours, theirs = pty.openpty()
    with ScriptedTarget() as target:
        process = subprocess.Popen(
            [
                *BENCH, target.url, "-m", "m", "--rate", "50", "--duration", "10m",
                "--warmup", "200ms", "--json", str(path), "--no-keep",
            ],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, text=True,
        )  # fmt: skip
        os.close(theirs)
        bar = b""
        while b"measure" not in bar:
            bar += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        try:
            # Until the other end is closed: a terminal that nobody reads would stop the program.
            while os.read(ours, 4096):
                pass
        except OSError:
            os.close(ours)
        out, _ = process.communicate()

    (run,) = read(str(path)).runs
    assert 0 < run.seconds < 60
    assert run.ok == run.offered > 0
    assert "stopped after" in out
    assert process.returncode in {0, 1}
    assert (process.returncode == 0) == run.valid


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["http://127.0.0.1:1", "-m", "m"], "127.0.0.1:1: cannot be reached: Connection refused"),
        (["ftp://h", "-m", "m"], "URL 'ftp://h': expected http://HOST:PORT"),
        (["http://u:p4ss@h", "-m", "m"], "give a key with --header"),
        (["http://h", "-m", "m", "--schedule", "burst"], "--schedule burst needs --rate"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: list[str], says: str) -> None:
    """On stderr, without a traceback, and without what may be a secret."""
    done = bench(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert "p4ss" not in done.stderr


def test_a_model_that_is_not_there_is_named_by_the_server() -> None:
    """With its own words."""
    with ScriptedTarget() as target:
        done = bench(target.url, "-m", "other")

    assert done.returncode == 2
    assert done.stderr == (
        f"infergate bench: {target.url}/v2/models/other answered 404: no such page\n"
    )


def test_a_result_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the run, in one line."""
    with ScriptedTarget() as target:
        plan = Plan(url=target.url, model="m", rate=20.0, duration=0.3, warmup=0.1, processes=1)
        assert run_bench(plan, None, outputs=Outputs(json=str(tmp_path))) == 2

    assert "Is a directory" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is sent."""
    monkeypatch.setattr("gateway.lab.load.command.find_spec", lambda name: None)

    assert run_bench(Plan(url="http://h", model="m", schedule="closed"), None) == 2

    assert capsys.readouterr().err == (
        "infergate bench: load tests need the extra 'lab': pip install 'infergate[lab]'\n"
    )


def test_statistics_and_versions_of_the_server_are_kept(tmp_path: Path) -> None:
    """What a result was measured on must be known later."""
    path = tmp_path / "run.json"
    with ScriptedTarget() as target:
        bench(target.url, "-m", "m", "--rate", "50", "--duration", "500ms", "--warmup", "0",
              "--json", str(path))  # fmt: skip

    document = json.loads(path.read_text())["runs"][0]
    assert document["environment"]["server"] == "scripted"
    assert document["environment"]["machine"]["cores"] == str(len(os.sched_getaffinity(0)))
    assert document["statistics"]["model_stats"][0]["inference_count"] == document["sent"]
