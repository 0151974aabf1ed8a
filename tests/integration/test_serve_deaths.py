# SPDX-License-Identifier: Apache-2.0
"""``infergate serve`` while its processes are killed, one kind at a time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.events import wait_gone
from tests.support.serving import Serving
from tests.support.tree import ROOT

pytestmark = pytest.mark.e2e

CONFIG = f"""
server: {{http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s}}
models:
  digits:
    backends: [{{worker: {{path: {ROOT}/models/digits, replicas: 2}}}}]
"""
ROW = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}]}


def kill(serving: Serving, name: str) -> None:
    """Kill the child *name* and wait until it is gone."""
    pid = serving.children()[name]
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert wait_gone(pidfd)
    os.close(pidfd)


def test_a_killed_gateway_is_waited_for(tmp_path: Path) -> None:
    """A client that comes while it is started anew is answered by the new one."""
    with Serving(tmp_path, CONFIG) as serving:
        serving.ready()
        kill(serving, "gateway.process")
        assert serving.post("/v2/models/digits/infer", ROW)[0] == 200


def test_a_killed_control_process_is_waited_for(tmp_path: Path) -> None:
    """The admin port answers again, and the restart is counted."""
    with Serving(tmp_path, CONFIG) as serving:
        serving.ready()
        kill(serving, "gateway.control")
        assert serving.get("/healthz", admin=True)[0] == 200
        _, metrics = serving.get("/metrics", admin=True)
        counted = 'infergate_worker_restarts_total{reason="SIGKILL",worker="control"} 1.0'
        assert counted in metrics


def test_a_killed_worker_costs_no_request(tmp_path: Path) -> None:
    """Its sibling answers, and the restart is counted."""
    with Serving(tmp_path, CONFIG) as serving:
        serving.ready()
        kill(serving, "digits-0")
        for _ in range(20):
            assert serving.post("/v2/models/digits/infer", ROW)[0] == 200
        assert "digits-0" in serving.logs("SIGKILL")
        _, metrics = serving.get("/metrics", admin=True)
        counted = 'infergate_worker_restarts_total{reason="SIGKILL",worker="digits-0"} 1.0'
        assert counted in metrics


def test_a_restart_does_not_see_an_edited_file(tmp_path: Path) -> None:
    """All processes run one configuration, whatever becomes of the file meanwhile."""
    with Serving(tmp_path, CONFIG) as serving:
        serving.ready()
        serving.config.write_text("models: half an ed")
        kill(serving, "gateway.process")
        assert serving.post("/v2/models/digits/infer", ROW)[0] == 200


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    """Workers, gateway and control end with it, so that the next start finds its ports free."""
    with Serving(tmp_path, CONFIG) as serving:
        serving.ready()
        children = serving.children()
        assert sorted(children) == ["digits-0", "digits-1", "gateway.control", "gateway.process"]
        pidfds = [os.pidfd_open(pid) for pid in children.values()]
        serving.process.kill()
        for pidfd in pidfds:
            assert wait_gone(pidfd)
            os.close(pidfd)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_cleanly_when_asked(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 0, and nothing said that is not a log line."""
    with Serving(tmp_path, CONFIG) as serving:
        serving.ready()
        serving.stop(number)
        code, said = serving.ends()
    assert code == 0
    assert all(line.startswith("{") for line in said.splitlines())
