# SPDX-License-Identifier: Apache-2.0
"""Reports of the past, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lab import LabError
from gateway.lab.report.document import Report
from gateway.lab.report.store import Store, directory
from tests.support.runs import run_of


def test_the_directory_is_the_users() -> None:
    """By the XDG specification, or where the environment says."""
    assert directory({"INFERGATE_BENCH_DIR": "/a"}) == Path("/a")
    assert directory({"XDG_DATA_HOME": "/b"}) == Path("/b/infergate/bench")
    assert directory({}) == Path.home() / ".local/share/infergate/bench"


def test_keeps_and_gives_back(tmp_path: Path) -> None:
    """Under the name asked for, or one of its model and moment."""
    store = Store(tmp_path / "made" / "later")
    assert store.names() == []
    named = Report(name="first", made=1.5e9, runs=[run_of([[0.01]])])
    assert store.keep(named).read_bytes() == named.json()
    unnamed = [Report(made=1e9, runs=[run_of([[0.01]], model="a/b c")]) for _ in range(2)]
    for report in unnamed:
        store.keep(report)
    assert [one.name for one in unnamed] == ["20010909-014640-a-b-c", "20010909-014640-a-b-c-2"]
    assert sorted(store.names()) == sorted(["first", *(one.name for one in unnamed)])
    assert store.get("first").runs[0].plan == named.runs[0].plan
    assert [path.name for path in store.where.iterdir() if path.suffix != ".json"] == []


def test_a_name_is_used_once(tmp_path: Path) -> None:
    """What is kept is never written over."""
    store = Store(tmp_path)
    store.keep(Report(name="one"))
    with pytest.raises(LabError, match="a report 'one' is kept already"):
        store.keep(Report(name="one"))


@pytest.mark.parametrize("name", ["../x", ".x", "a b", "x" * 101, "a/b"])
def test_a_name_is_one_of_a_file(tmp_path: Path, name: str) -> None:
    """And never leaves the directory."""
    with pytest.raises(LabError, match="expected up to 100 letters"):
        Store(tmp_path).keep(Report(name=name))
    assert list(tmp_path.iterdir()) == []


def test_says_which_there_are(tmp_path: Path) -> None:
    """Where one is asked for that is not kept."""
    store = Store(tmp_path)
    with pytest.raises(LabError, match="it has none yet"):
        store.get("one")
    store.keep(Report(name="one"))
    with pytest.raises(LabError, match=r"no report 'two' in .*; the last ones are one"):
        store.find("two")


def test_a_file_is_found_as_well_as_a_name(tmp_path: Path) -> None:
    """For `--baseline`, which takes either."""
    store = Store(tmp_path / "store")
    store.keep(Report(name="kept"))
    elsewhere = tmp_path / "other.json"
    elsewhere.write_bytes(Report(name="elsewhere").json())
    assert store.find("kept").name == "kept"
    assert store.find(str(elsewhere)).name == "elsewhere"


def test_what_cannot_be_read_is_left_out_of_the_list(tmp_path: Path) -> None:
    """And said of whoever asks for it."""
    store = Store(tmp_path)
    store.keep(Report(name="good"))
    (tmp_path / "bad.json").write_text("{")
    assert [one.name for one in store.all()] == ["good"]
    with pytest.raises(LabError, match="not the report of a load test"):
        store.get("bad")


def test_says_that_the_directory_cannot_be_written(tmp_path: Path) -> None:
    """A file is in its place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="cannot keep a report"):
        Store(tmp_path / "file").keep(Report(name="x"))
