# SPDX-License-Identifier: Apache-2.0
"""The configuration is reloaded again and again under load; no client notices."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.factors import Asking, Repository, asked
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e

# Reloads in the test that does many; a longer run: INFERGATE_RELOADS=600.
RELOADS = int(os.environ.get("INFERGATE_RELOADS", "40"))
# Between two of them; where one takes longer, the next comes right behind it.
PAUSE = 0.1


def text(
    repository: Repository,
    *,
    replicas: int = 2,
    rows: int = 64,
    models: tuple[str, ...] = ("m",),
    processes: int = 1,
    more: str = "",
) -> str:
    """A configuration of *models*, all alike."""
    sections = "".join(
        f"  {name}:\n"
        f"    backends: [{{worker: {{path: {repository.path(name)}, replicas: {replicas}}}}}]\n"
        f"    batch: {{max_rows: {rows}}}\n"
        for name in models
    )
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, timeout: 10m, "
        f"processes: {processes}{more}}}\nmodels:\n{sections}"
    )


@pytest.fixture(name="repository")
def fixture_repository(tmp_path: Path) -> Repository:
    """One model in its first version."""
    repository = Repository(tmp_path / "repository")
    repository.add("m", 1, 2.0)
    return repository


async def do(serving: Serving, text: str) -> tuple[int, Any]:
    """Reload off this loop, which has clients to serve."""
    return await asyncio.to_thread(serving.reload, text)


async def test_many_reloads_under_load_fail_no_request(
    tmp_path: Path, repository: Repository
) -> None:
    """One every 100 ms: other stacks, more and fewer workers, and bad files in between."""
    seen: list[int] = []
    with Serving(tmp_path, text(repository)).ready() as serving:
        async with asked(Asking(serving.http, repository)) as asking:
            for number in range(RELOADS):
                begun = asking.outcome.answered
                if number % 5 == 4:
                    status, answer = await do(serving, "models: {m: {batch: {max_rows: 0}}}\n")
                    assert status == 400
                    assert "config.yaml:1: models.m.batch.max_rows: " in answer["faults"][0]
                else:
                    replicas = 1 + (number // 5) % 3
                    status, answer = await do(
                        serving, text(repository, replicas=replicas, rows=1 + number)
                    )
                    assert (status, answer["result"]) == (200, "applied"), answer
                seen.append(asking.outcome.answered - begun)
                # The pace is the thing under test; nothing that is asserted goes by it.
                await asyncio.sleep(PAUSE)
        results = serving.metrics("infergate_config_reloads_total", admin=True)
        generation = serving.metrics("infergate_config_generation")
        pending = serving.metrics("infergate_pending")
        # No reference holds on to what was replaced: the timeout that ends it in any case is longer
        # than this test may take.
        while {name for name in serving.children() if name.startswith("m-")} != set(
            serving.endpoints("m")
        ):
            pass

    assert asking.outcome.failures() == {}
    bad = RELOADS // 5
    assert results == {'{result="applied"}': RELOADS - bad, '{result="rejected"}': bad}
    assert generation == {"": 1 + RELOADS - bad}
    assert set(pending.values()) == {0}
    # There was load during the reloads.
    assert sum(seen) > RELOADS


async def test_models_come_and_go_under_load(tmp_path: Path, repository: Repository) -> None:
    """A model is asked for from the answer to its reload on, and others do not feel it."""
    repository.add("n", 1, 3.0)
    names = ["m"]
    at = 0

    def next_model() -> str:
        nonlocal at
        at += 1
        return names[at % len(names)]

    with Serving(tmp_path, text(repository)).ready() as serving:
        async with asked(Asking(serving.http, repository, model=next_model)) as asking:
            for _ in range(3):
                status, answer = await do(serving, text(repository, models=("m", "n")))
                assert (status, "models.n: added" in answer["changes"]) == (200, True)
                names.append("n")
                await asking.goes_on(200)
                names.remove("n")
                # Every client has asked for another one since.
                await asking.goes_on(50)
                status, answer = await do(serving, text(repository))
                assert (status, "models.n: removed" in answer["changes"]) == (200, True)
        assert serving.get("/v2/models/n")[0] == 404

    assert asking.outcome.failures() == {}
    assert len(asking.digests) == 2


async def test_all_gateway_processes_serve_the_new_generation(
    tmp_path: Path, repository: Repository
) -> None:
    """When the reload is answered, whichever process a client meets."""
    repository.add("n", 1, 3.0)
    with Serving(tmp_path, text(repository, processes=2)).ready() as serving:
        both = text(repository, models=("m", "n"), processes=2)
        assert (await do(serving, both))[0] == 200
        # Each connection may land in either process.
        found = {serving.get("/v2/models/n/ready")[0] for _ in range(20)}
        _, view = serving.get("/v1/backends", admin=True)
    assert found == {200}
    assert view.count('"gateway-1": 2') == 1


def test_sighup_reloads_and_says_so_in_the_log(tmp_path: Path, repository: Repository) -> None:
    """A good file and a bad one."""
    repository.add("n", 1, 3.0)
    with Serving(tmp_path, text(repository)).ready() as serving:
        serving.config.write_text(text(repository, models=("m", "n")))
        serving.process.send_signal(signal.SIGHUP)
        assert "models.n: added" in serving.logs("configuration reloaded")
        assert serving.get("/v2/models/n/ready")[0] == 200
        serving.config.write_text("models: {}\n")
        serving.process.send_signal(signal.SIGHUP)
        assert "config.yaml:1: models: " in serving.logs("configuration not reloaded")
        assert serving.get("/v2/models/n/ready")[0] == 200


def test_a_log_that_nobody_reads_holds_up_no_reload(tmp_path: Path, repository: Repository) -> None:
    """The pipe is full after a few lines; what is not taken is dropped."""
    with Serving(tmp_path, text(repository)).ready() as serving:
        assert serving.process.stderr is not None
        fcntl.fcntl(serving.process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        for number in range(30):
            assert serving.reload(text(repository, rows=number + 1))[1]["result"] == "applied"


def test_a_watched_file_is_reloaded_by_itself(tmp_path: Path, repository: Repository) -> None:
    """So is a new version in a watched model's directory."""
    watched = ", reload: {watch: true, interval: 100ms}"
    repository.add("n", 1, 3.0)
    with Serving(tmp_path, text(repository, more=watched)).ready() as serving:
        serving.config.write_text(text(repository, models=("m", "n"), more=watched))
        assert "models.n: added" in serving.logs("configuration reloaded")
        repository.add("m", 2, 5.0)
        assert "(version 2)" in serving.logs("configuration reloaded")
        assert '"2"' in serving.get("/v2/models/m")[1]


def test_what_needs_a_restart_is_named_and_the_rest_takes_effect(
    tmp_path: Path, repository: Repository
) -> None:
    """Ports and processes are taken once."""
    with Serving(tmp_path, text(repository)).ready() as serving:
        status, answer = serving.reload(text(repository, processes=3, replicas=1))
        assert status == 200
        assert answer["restart"] == [
            "server.processes: 3 is in the file, 1 in effect until the next start"
        ]
        assert list(serving.endpoints("m")) == ["m-0"]
        assert serving.reload(text(repository, processes=3, replicas=1))[1]["result"] == (
            "unchanged"
        )
        assert '"processes": 1' in serving.get("/v1/config", admin=True)[1]


def test_unchanged_models_keep_their_workers_and_connections(
    tmp_path: Path, repository: Repository
) -> None:
    """A reload for another model starts nothing anew and forgets no count."""
    repository.add("n", 1, 3.0)
    row = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}
    with Serving(tmp_path, text(repository)).ready() as serving:
        before = serving.children()
        for _ in range(10):
            assert serving.post("/v2/models/m/infer", row)[0] == 200
        assert serving.reload(text(repository, models=("m", "n")))[0] == 200
        assert before.items() <= serving.children().items()
        assert sum(each["attempts"] for each in serving.endpoints("m").values()) == 10
