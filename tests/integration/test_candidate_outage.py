# SPDX-License-Identifier: Apache-2.0
"""The workers of a promoted candidate die or stand still: the model answers in their place."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.factors import Asking, Repository, asked
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e


def text(repository: Repository, directory: Path) -> str:
    """The model m, and n, which may take its place."""
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, timeout: 20s}\n"
        f"ledger: {{url: 'sqlite:///{directory / 'ledger.sqlite3'}'}}\n"
        "models:\n"
        f"  m: {{backends: [{{worker: {{path: {repository.path('m')}}}}}], "
        "quality: {classes: 2}, shadow: {model: n, sample: 1%}, candidate: {model: n}}\n"
        f"  n: {{backends: [{{worker: {{path: {repository.path('n')}}}}}], "
        "timeouts: {attempt: 500ms}}\n"
    )


async def answered_by(asking: Asking, digest: str) -> None:
    """Wait until *digest* answers again and again."""
    while True:
        before = asking.digests[digest]
        await asking.goes_on(50)
        if asking.digests[digest] > before + 20:
            return


def promoted(serving: Serving) -> None:
    """Have n answer all that m is asked."""
    status, told = serving.act("/v1/candidates/m/promote", force=True)
    assert (status, told["share"]) == (200, 1.0)


async def test_no_request_fails_while_its_worker_is_dead(tmp_path: Path) -> None:
    """Those that wait for the next one, and those that the model has answered meanwhile."""
    repository = Repository(tmp_path / "r")
    repository.add("m", 1, 2.0)
    other = repository.add("n", 1, 3.0)
    with Serving(tmp_path, text(repository, tmp_path)).ready() as serving:
        promoted(serving)
        async with asked(Asking(serving.http, repository, clients=4)) as asking:
            for _ in range(2):
                await answered_by(asking, other)
                os.kill(serving.children()["n-0"], signal.SIGKILL)
                await asking.goes_on(100)
            await answered_by(asking, other)
    assert asking.outcome.failures() == {}


async def test_no_request_fails_while_its_worker_stands_still(tmp_path: Path) -> None:
    """What the candidate leaves unanswered, the model answers; then it is the candidate's again."""
    repository = Repository(tmp_path / "r")
    own, other = repository.add("m", 1, 2.0), repository.add("n", 1, 3.0)
    with Serving(tmp_path, text(repository, tmp_path)).ready() as serving:
        promoted(serving)
        async with asked(Asking(serving.http, repository, clients=4)) as asking:
            await answered_by(asking, other)
            worker = serving.children()["n-0"]
            os.kill(worker, signal.SIGSTOP)
            await answered_by(asking, own)
            os.kill(worker, signal.SIGCONT)
            await answered_by(asking, other)
        results = serving.metrics("infergate_candidate_requests_total")
    assert asking.outcome.failures() == {}
    assert sum(results[f'{{arm="candidate",model="m",result="{result}"}}']
               for result in ("failed", "unready")) > 0  # fmt: skip
