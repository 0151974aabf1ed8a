# SPDX-License-Identifier: Apache-2.0
"""The end of a worker: in order when asked, at once when asked twice, never after its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.wire.frames import Kind
from tests.support import models
from tests.support.events import wait_gone
from tests.support.worker_process import FOREVER, PATIENCE, Worker, command


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    """The model whose requests say how long they take."""
    return models.save(models.counting(), tmp_path / "counting")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_it_has_is_finished_and_the_new_refused(counting: Path, number: int) -> None:
    """Nothing that was accepted is lost, and nobody waits in vain for what was not."""
    with Worker(counting) as worker, worker.connect() as client:
        endless, waiting = client.count(FOREVER), client.count(4)
        worker.process.send_signal(number)
        assert client.answer().kind is Kind.DRAIN
        late = client.count(1)
        id_, head = client.error()
        assert (id_, head.code) == (late, "draining")
        client.cancel(endless)
        assert client.error()[0] == endless
        answered, _, outputs = client.result()
        assert answered == waiting
        assert outputs["y"].array().tolist() == [4]
        assert client.receive() is None
        assert worker.ends() == (0, "")


def test_a_draining_worker_accepts_no_connection(counting: Path) -> None:
    """Who comes new goes elsewhere."""
    with Worker(counting) as worker, worker.connect() as client:
        endless = client.count(FOREVER)
        worker.terminate()
        assert client.answer().kind is Kind.DRAIN
        with pytest.raises(OSError, match=r"refused|No such file"):
            worker.connect()
        client.cancel(endless)
        assert worker.ends()[0] == 0


def test_an_idle_worker_ends_and_removes_its_socket(counting: Path) -> None:
    """Nothing is left behind."""
    with Worker(counting) as worker:
        assert worker.socket.exists()
        worker.terminate()
        assert worker.ends() == (0, "")
        assert not worker.socket.exists()


def test_a_drain_ends_with_its_grace(counting: Path) -> None:
    """A run without end does not keep the worker; it says what is lost."""
    with Worker(counting, "--grace", "0.05") as worker, worker.connect() as client:
        client.count(FOREVER)
        worker.terminate()
        assert client.answer().kind is Kind.DRAIN
        assert client.receive() is None
        code, errors = worker.ends()
        assert code == 0
        assert errors == "infergate worker: counting: 1 requests are unfinished after 0.05 s\n"


def test_a_second_signal_ends_it_at_once(counting: Path) -> None:
    """Whatever is under way."""
    with Worker(counting) as worker, worker.connect() as client:
        client.count(FOREVER)
        worker.terminate()
        assert client.answer().kind is Kind.DRAIN
        worker.terminate()
        assert worker.ends()[0] == 128 + signal.SIGTERM


def test_it_does_not_outlive_a_parent_that_is_killed(counting: Path, tmp_path: Path) -> None:
    """Even SIGKILL of the parent ends its worker."""
    line = command(counting, "--die-with-parent", listen=f"unix:{tmp_path}/w.sock")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *line], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        pidfd = os.pidfd_open(pid)
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        gone = wait_gone(pidfd)
        os.close(pidfd)
        assert gone
    finally:
        parent.kill()
        parent.communicate(timeout=PATIENCE)


PARENT = """
import os, subprocess, sys
ready, announce = os.pipe()
environment = {**os.environ, "INFERGATE_READY_FD": str(announce),
               "INFERGATE_PARENT_PID": str(os.getpid())}
child = subprocess.Popen(sys.argv[1:], env=environment, pass_fds=(announce,))
os.close(announce)
print(child.pid, flush=True)
print(os.read(ready, 64).decode().strip(), flush=True)
child.wait()
"""
