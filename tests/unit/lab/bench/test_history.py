# SPDX-License-Identifier: Apache-2.0
"""Results of the past, listed, shown, and compared."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from gateway.lab.bench.history import compare_kept, list_kept, show_kept
from gateway.lab.bench.outputs import Outputs, keep, write
from gateway.lab.report.document import Report, read
from gateway.lab.report.store import DIRECTORY, Store
from tests.support.md1 import Md1


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The one that commands use."""
    monkeypatch.setenv(DIRECTORY, str(tmp_path / "kept"))
    return Store(tmp_path / "kept")


async def _report(service: float = 0.001, name: str = "") -> Report:
    run = await Md1(service)(600, 10, 3)
    return Report(name=name, made=1.5e9, version="1.0", runs=[run])


def _said(width: int = 200) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width), out


async def test_lists_what_is_kept(store: Store) -> None:
    """A line each; without any it says where they would be."""
    console, out = _said()
    list_kept(console)
    assert f"no report in {store.where} yet" in out.getvalue()
    keep(await _report(), Outputs(name="one", keep=True))
    late = await _report()
    late.runs[0].valid, late.runs[0].reasons = False, ["late"]
    keep(late, Outputs(keep=True))
    list_kept(console)
    assert "one" in out.getvalue()
    assert "20170714-024000-m" in out.getvalue()
    assert out.getvalue().count("600/s") == 2
    assert out.getvalue().count("INVALID") == 1


async def test_shows_again_and_writes_other_forms(store: Store, tmp_path: Path) -> None:
    """A page and a table of a result that was kept without."""
    store.keep(await _report(name="one"))
    page, table = tmp_path / "r.html", tmp_path / "r.csv"
    console, out = _said()
    assert show_kept("one", Outputs(report=str(page), csv=str(table)), console) == 0
    assert "VALID" in out.getvalue()
    assert page.read_text().startswith("<!doctype html>")
    assert table.read_text().startswith("Concurrency,")


@pytest.mark.parametrize(("service", "code"), [(0.001, 0), (0.0014, 1)])
async def test_compares_two(store: Store, service: float, code: int) -> None:
    """Exit code 1 where the second is slower."""
    store.keep(await _report(name="one"))
    store.keep(await _report(service, name="two"))
    console, out = _said()
    assert compare_kept("one", "two", tolerance=0.1, level=0.95, console=console) == code
    assert ("slower than one by more than 10 %" in out.getvalue()) is bool(code)


async def test_says_what_cannot_be_compared(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, exit code 2."""
    store.keep(await _report(name="one"))
    store.keep(Report(name="none"))
    assert compare_kept("one", "two", tolerance=0.1, level=0.95) == 2
    assert compare_kept("one", "none", tolerance=0.1, level=0.95) == 2
    assert show_kept("two", Outputs()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["infergate bench history"] * 3
    assert "none holds no run at one load to compare" in lines[1]


async def test_every_file_is_written(tmp_path: Path) -> None:
    """And one that cannot be is named."""
    files = {
        name: str(tmp_path / f"r.{name}") for name in ("json", "report", "csv", "hgrm", "markdown")
    }
    outputs = msgspec.convert(files, Outputs)
    write(await _report(), outputs)
    assert "" not in [_content(path) for path in files.values()]
    assert read(str(tmp_path / "r.json")).runs[0].offered > 5000


async def test_a_store_that_cannot_be_written_loses_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told, and the command goes on."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(DIRECTORY, str(tmp_path / "file"))
    keep(await _report(), Outputs(keep=True))
    assert "cannot keep a report" in capsys.readouterr().err


def _content(path: str) -> str:
    return Path(path).read_text()
