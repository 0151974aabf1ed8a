# SPDX-License-Identifier: Apache-2.0
"""What the service manager is told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gateway.supervisor.notify import notify


def test_tells_the_manager_that_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state goes as one datagram to the socket in the environment."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(30)
        notify("READY=1")
        assert manager.recv(64) == b"READY=1"


def test_an_abstract_address_begins_with_an_at_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its real first byte is zero, which no environment variable can hold."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # the kernel chooses a free abstract name
        name = manager.getsockname()
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:].decode())
        manager.settimeout(30)
        notify("STOPPING=1")
        assert manager.recv(64) == b"STOPPING=1"


def test_says_nothing_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """No manager, or one that is gone, is no reason to fail."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    notify("READY=1")
