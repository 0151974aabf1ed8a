# SPDX-License-Identifier: Apache-2.0
"""`/metrics` of the whole program: any process answers for all, and totals never fall."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.metrics import value
from tests.support.serving import Serving
from tests.support.tree import ROOT

CONFIG = f"""
server: {{http: "127.0.0.1:0", admin: "127.0.0.1:0", processes: 2}}
models:
  digits:
    backends: [{{worker: {{path: {ROOT / "models" / "digits"}}}}}]
"""
QUESTION = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.5] * 64}]}
SENT = 40


def answered(text: str) -> float:
    """The predictions that a scrape shows."""
    return value(text, "infergate_requests_total", model="digits", code="200")


@pytest.mark.e2e
def test_totals_hold_over_processes_ports_and_a_killed_gateway(tmp_path: Path) -> None:
    """However the scrapes fall, a count is never less than one shown before, and none is lost."""
    with Serving(tmp_path, CONFIG) as serving:
        serving.ready()
        for _ in range(SENT):
            status, _ = serving.post("/v2/models/digits/infer", QUESTION)
            assert status == 200

        # Each process posts once a second; a scrape of the other one shows what it has posted.
        shown = [0.0]
        while shown[-1] < SENT:
            shown.append(answered(serving.get("/metrics")[1]))
        os.kill(serving.children()["gateway.process"], signal.SIGKILL)
        restarts = 0.0
        while not restarts:
            text = serving.get("/metrics", admin=True)[1]
            shown.append(answered(text))
            restarts = value(text, "infergate_worker_restarts_total", reason="SIGKILL")
        serving.logs("is started again")
        serving.logs("digits-0 is up")
        shown.append(answered(serving.get("/metrics")[1]))

    assert restarts == 1
    assert shown == sorted(shown)
    assert shown[-1] == SENT


@pytest.mark.e2e
def test_both_ports_show_every_stage_of_a_request(tmp_path: Path) -> None:
    """One prediction is counted once in each of the families that it passes."""
    with Serving(tmp_path, CONFIG, "--processes", "1") as serving:
        serving.ready()
        serving.post("/v2/models/digits/infer", QUESTION)
        serving.post("/v2/models/nothing/infer", QUESTION)
        data = serving.get("/metrics")[1]
        admin = serving.get("/metrics", admin=True)[1]

    for text in (data, admin):
        assert answered(text) == 1
        assert value(text, "infergate_requests_total", model="unknown", code="404") == 1
        for name in ("request", "overhead", "queue", "upstream"):
            assert value(text, f"infergate_{name}_seconds_count", model="digits") == 1, name
        assert value(text, "infergate_batch_rows_sum", model="digits") == 1
        assert value(text, "infergate_attempts_total", endpoint="digits-0", result="ok") == 1
        assert value(text, "infergate_endpoint_state", endpoint="digits-0", state="ready") == 1
        assert value(text, "infergate_process_resident_memory_bytes", process="gateway-0") > 0
