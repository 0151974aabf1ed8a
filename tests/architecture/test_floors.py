# SPDX-License-Identifier: Apache-2.0
"""Imports point down only, as the contracts in pyproject.toml say."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    """Check the floors of the packages in *directory*, in a process that has imported nothing."""
    return subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=directory,
        env={"PYTHONPATH": str(directory), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_import_keeps_to_its_floor() -> None:
    """No module of the gateway or the worker program imports from a floor above its own."""
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("gateway/wire/upward.py", "gateway.telemetry", "Imports point down only"),
        ("gateway/upstream/sideways.py", "gateway.steps", "Imports point down only"),
        ("backends/curious.py", "gateway.stages", "The worker program shares the wire"),
        ("gateway/control/shortcut.py", "backends", "The gateway starts the worker as a program"),
    ],
)
def test_an_import_that_points_up_is_refused(
    tmp_path: Path, module: str, imported: str, contract: str
) -> None:
    """Each contract fails on the import that it is there to prevent."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    packages = ("gateway", "wire", "errors", "telemetry", "upstream", "steps", "stages", "control")
    for name in packages:
        package = tmp_path / "gateway" / name if name != "gateway" else tmp_path / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "__init__.py").touch()
    assert lint(tmp_path).returncode == 0

    (tmp_path / module).write_text(f"import {imported}\n")
    result = lint(tmp_path)

    assert result.returncode == 1
    assert contract in result.stdout.split("Broken contracts")[1]
