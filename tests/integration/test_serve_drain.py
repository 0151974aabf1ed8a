# SPDX-License-Identifier: Apache-2.0
"""``infergate serve`` ends under load: every request that was sent is answered."""

from __future__ import annotations

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.serving import Serving
from tests.support.tree import ROOT

pytestmark = pytest.mark.e2e

CONFIG = f"""
server: {{http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 20s}}
models:
  digits:
    backends: [{{worker: {{path: {ROOT}/models/digits, replicas: 2}}}}]
"""
BODY = json.dumps(
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}]}
)
CLIENTS = 8


def test_loses_no_request_when_it_is_asked_to_end(tmp_path: Path) -> None:
    """Each answer is a prediction, up to the one that says ``Connection: close``."""
    warm = threading.Barrier(CLIENTS + 1)

    def ask_until_told_to_close(where: str) -> list[int]:
        connection = http.client.HTTPConnection(where, timeout=60)
        statuses: list[int] = []
        while True:
            connection.request("POST", "/v2/models/digits/infer", BODY)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
            if len(statuses) == 20:
                warm.wait()
            if answer.getheader("Connection", "").lower() == "close":
                connection.close()
                return statuses

    with Serving(tmp_path, CONFIG) as serving, ThreadPoolExecutor(CLIENTS) as pool:
        serving.ready()
        clients = [pool.submit(ask_until_told_to_close, serving.http) for _ in range(CLIENTS)]
        warm.wait()
        serving.stop()
        for client in clients:
            statuses = client.result()
            assert len(statuses) >= 20
            assert set(statuses) == {200}
        assert serving.ends()[0] == 0
