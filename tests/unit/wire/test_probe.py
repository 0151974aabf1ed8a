# SPDX-License-Identifier: Apache-2.0
"""What proves a request to be a quality probe."""

from __future__ import annotations

from pathlib import Path

from gateway.wire.probe import HEADER, is_probe, probe_token


def test_all_processes_of_a_run_have_one_token(tmp_path: Path) -> None:
    """The first one makes it, readable for its user alone; another run has another one."""
    token = probe_token(tmp_path)
    assert probe_token(tmp_path) == token
    assert len(token) == 64
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0
    other = tmp_path / "other"
    other.mkdir()
    assert probe_token(other) != token


def test_the_token_alone_proves_a_probe() -> None:
    """No header, another one, or a process without a token prove nothing."""
    name = HEADER.lower()
    assert is_probe({name: "abc"}, "abc")
    assert not is_probe({}, "abc")
    assert not is_probe({name: "abcd"}, "abc")
    assert not is_probe({name: "\udcff"}, "abc")
    assert not is_probe({name: ""}, "")
