# SPDX-License-Identifier: Apache-2.0
"""An input that kills workers takes two of them, and nobody else's answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.mortal import MAGIC
from tests.support.serving import Serving

WORKERS = 4


@contextmanager
def mortals(directory: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """WORKERS processes that die of MAGIC, at ``mortal-0.sock`` and so on."""
    with ExitStack() as stack:
        processes = []
        for number in range(WORKERS):
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.mortal", directory / f"mortal-{number}.sock"],
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            processes.append(process)
        yield processes


def configuration(directory: Path) -> str:
    """All mortals behind one model."""
    backends = [{"address": f"unix:{directory}/mortal-{number}.sock"} for number in range(WORKERS)]
    return json.dumps({
        "server": {"http": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "models": {"double": {"backends": backends}},
    })  # fmt: skip


def ask(serving: Serving, value: float) -> tuple[int, object]:
    """Status, and the doubled value or the error."""
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [value]}
    status, answer = serving.post("/v2/models/double/infer", {"inputs": [tensor]})
    return status, answer["outputs"][0]["data"] if status == 200 else answer["error"]


def test_poison_kills_two_workers_and_no_third(tmp_path: Path) -> None:
    """It is answered 502; its neighbours, whatever batch they were in, get their answers."""
    values = [float(value) for value in range(24)]
    values[11] = MAGIC
    with mortals(tmp_path) as workers, Serving(tmp_path, configuration(tmp_path)) as serving:
        serving.ready()
        with ThreadPoolExecutor(len(values)) as clients:
            answers = list(clients.map(lambda value: ask(serving, value), values))
        # A process is gone to its peers a moment before it is to its parent.
        while sum(worker.poll() is not None for worker in workers) < 2:
            pass
        # Another client asks the same, and none of the workers that are left hears of it.
        again = [ask(serving, MAGIC) for _ in range(5)]
        answers.append(ask(serving, 99.0))
        values.append(99.0)
        dead = [worker.returncode for worker in workers if worker.poll() is not None]
        _, text = serving.get("/metrics")

    status, error = answers.pop(11)
    values.pop(11)
    assert status == 502
    assert "2 workers went away" in str(error)
    assert answers == [(200, [2 * value]) for value in values]
    assert {status for status, _ in again} == {502}
    assert all("the same input" in str(error) for _, error in again)
    assert 'infergate_quarantine_total{event="refused",model="double"} 5.0' in text
    # The fault happened, twice and not a third time.
    assert dead == [139, 139]
    assert 'code="502"' in text
