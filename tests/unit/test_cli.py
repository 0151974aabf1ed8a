# SPDX-License-Identifier: Apache-2.0
"""The command line: its exit codes, its one-line errors, and what it hands on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway import __version__
from gateway.cli import main
from tests.support.tree import ROOT

GOOD = "models: {a: {backends: [{address: 'unix:x', weight: 2}]}}\n"


@pytest.fixture
def good(tmp_path: Path) -> str:
    """A configuration without faults."""
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return str(path)


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, and nothing else."""
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"infergate {__version__}\n", "")


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """It is also what comes without any command, which is then bad input."""
    assert main(["--help"]) == 0
    helped = capsys.readouterr().out
    assert all(word in helped for word in ("serve", "check", "schema", "worker", "evaluate"))
    assert main([]) == 2
    assert "Commands" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["checc"], "infergate: no such command 'checc'"),
        (["check"], "infergate check: missing option '-c' / '--config'"),
        (["check", "--colour"], "infergate check: no such option: --colour"),
        (["serve", "-c", "x", "--processes", "0"], "infergate serve: invalid value for"),
        (["serve", "-c", "x", "--http", "8000"], "infergate: --http: expected HOST:PORT"),
        (
            ["evaluate", "u", "-m", "m", "--data", "d", "--timeout", "5"],
            "--timeout: expected a time",
        ),
    ],
)
def test_wrong_arguments_are_one_line_on_stderr(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 2, no traceback, no frame around it."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert words in said.err


def test_good_configuration_is_summed_up(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what would run."""
    assert main(["check", "-c", good]) == 0
    assert capsys.readouterr() == (f"{good}: good: 1 model, 0 workers, 1 elsewhere\n", "")


def test_every_fault_is_a_line_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with file, line, path and message."""
    path = tmp_path / "bad.yaml"
    path.write_text("server:\n  processes: 0\nmodels: {}\n")
    assert main(["check", "--config", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"{path}:2: server.processes: expected at least 1, got 0",
        f"{path}:3: models: expected at least 1, got 0",
    ]


def test_configuration_may_come_from_the_environment(
    good: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container needs no arguments."""
    monkeypatch.setenv("INFERGATE_CONFIG", good)
    assert main(["check"]) == 0


def test_schema_is_json_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """So that it can be sent to a file."""
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Infergate"


def test_serve_hands_its_options_to_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends with its exit code."""
    calls: list[tuple[Any, ...]] = []

    def run(config_path: str, *, http: str | None, processes: int | None) -> int:
        calls.append((config_path, http, processes))
        return 1

    monkeypatch.setattr("gateway.supervisor.run", run)
    assert main(["serve", "-c", "f", "--http", "127.0.0.1:0", "--processes", "2"]) == 1
    assert main(["serve", "-c", "f"]) == 1
    assert calls == [("f", "127.0.0.1:0", 2), ("f", None, None)]


def test_worker_becomes_the_worker_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """All arguments are its own, those that look like options too."""
    calls: list[tuple[str, list[str]]] = []

    def execve(program: str, arguments: tuple[str, ...], _: dict[str, str]) -> None:
        calls.append((program, list(arguments)))

    monkeypatch.setattr(os, "execve", execve)
    given = ["models/digits", "--listen", "unix:x", "--threads", "2", "-h"]
    assert main(["worker", *given]) == 0
    assert calls == [(sys.executable, [sys.executable, "-P", "-m", "backends", *given])]


def test_evaluate_hands_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends with its exit code: 1 where the accuracy is too low."""
    calls: list[tuple[Any, ...]] = []

    def run(*arguments: str, **options: object) -> int:
        calls.append((arguments, options))
        return 1

    monkeypatch.setattr("gateway.lab.evaluate.run", run)
    arguments = ["http://h:1", "-m", "digits", "--data", "d.npz", "--protocol", "v1", "--load", "9"]
    assert main(["evaluate", *arguments, "--timeout", "500ms", "--json", "out.json"]) == 1
    ((given, options),) = calls
    assert given == ("http://h:1", "digits", "d.npz")
    assert options == {
        "batch": 32, "protocol": "v1", "output": None, "scores": None, "json": "out.json",
        "concurrency": 4, "load": 9, "min_accuracy": None, "classes": None, "level": 0.95,
        "timeout": 0.5, "picture": None,
    }  # fmt: skip


def test_reader_that_has_seen_enough_is_no_error() -> None:
    """A closed pipe ends the output, without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "gateway", "schema"],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert ended.stderr == b""
