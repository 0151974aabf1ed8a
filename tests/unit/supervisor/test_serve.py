# SPDX-License-Identifier: Apache-2.0
"""From a configuration file to what is to run: the ways in which that cannot be."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

import pytest

from gateway.supervisor import run
from gateway.supervisor.serve import counted, runtime_directory
from gateway.wire.runtime import metrics_directory, state_directory


def test_every_fault_of_a_file_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file is mended in one go, not fault by fault; exit code 2."""
    path = tmp_path / "config.yaml"
    path.write_text("server: {http: 80}\nmodels: {}\nmodles: {}\n")
    assert run(str(path)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith(f"{path}:") for line in lines)


def test_at_least_one_gateway_process_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is given on the command line is checked like what is in the file."""
    path = tmp_path / "config.yaml"
    path.write_text("models: {m: {backends: [{address: 'tcp:10.0.0.7:9000'}]}}\n")
    assert run(str(path), processes=0) == 2
    assert capsys.readouterr().err == (
        "infergate: --processes 0: at least one gateway process is needed\n"
    )


def test_the_runtime_directory_goes_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is private, made where the service manager says, and removed even after a fault."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with contextlib.suppress(KeyboardInterrupt), runtime_directory() as made:
        assert made.parent == tmp_path
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        assert metrics_directory(made).is_dir()
        assert state_directory(made).is_dir()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_counts_read_like_words() -> None:
    """One is singular."""
    assert [counted(number, "model") for number in (0, 1, 2)] == ["0 models", "1 model", "2 models"]
