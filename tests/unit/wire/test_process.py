# SPDX-License-Identifier: Apache-2.0
"""What a started process owes its supervisor."""

from __future__ import annotations

import os
import socket

import pytest

from gateway.wire.process import (
    PARENT,
    READY_FD,
    announce_failure,
    announce_ready,
    die_with_parent,
    inherited_socket,
    socket_variable,
)


def test_ready_is_one_line_and_then_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader gets the line and an end of file; a second announcement does nothing."""
    reader, writer = os.pipe()
    monkeypatch.setenv(READY_FD, str(writer))
    announce_ready()
    announce_ready()
    assert os.read(reader, 64) == b"ready\n"
    assert os.read(reader, 64) == b""
    os.close(reader)


def test_ready_is_kept_to_itself_where_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program started by hand announces nothing."""
    monkeypatch.delenv(READY_FD, raising=False)
    announce_ready()


def test_a_reader_that_went_away_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor may have been killed in between."""
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setenv(READY_FD, str(writer))
    announce_ready()


def test_a_parent_that_is_gone_already_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is signalled for a death before the request, so it is looked for."""
    child = os.fork()
    if child == 0:  # only a process of its own may ask for a parent-death signal
        monkeypatch.setenv(PARENT, str(os.getpid()))  # nobody is its own parent
        try:
            die_with_parent()
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        os._exit(42)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1


def test_takes_over_an_inherited_socket_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first caller owns it, without blocking; the second gets none."""
    given, other = socket.socketpair()
    number = given.detach()
    monkeypatch.setenv(socket_variable("http"), str(number))
    taken = inherited_socket("http")
    assert taken is not None
    assert taken.fileno() == number
    assert taken.getblocking() is False
    assert inherited_socket("http") is None
    taken.close()
    other.close()


def test_has_no_socket_where_it_was_started_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program binds by itself then."""
    monkeypatch.delenv(socket_variable("admin"), raising=False)
    assert inherited_socket("admin") is None


def test_a_failure_says_why_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of ready, and no longer than a pipe takes in one piece."""
    for said, read in ((" no such\nfile ", b"no such file"), ("x" * 9999, b"x" * 4096)):
        reader, writer = os.pipe()
        monkeypatch.setenv(READY_FD, str(writer))
        announce_failure(said)
        assert os.read(reader, 9999) == read
        assert os.read(reader, 64) == b""
        os.close(reader)
