# SPDX-License-Identifier: Apache-2.0
"""The response cache of the whole program: rows, tenants, purge, stale answers, statistics."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_operate import infergate
from tests.support import models
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e


def text(directory: Path, *, cache: str = "{}", processes: int = 1) -> str:
    """Two models: ``m``, whose rows are independent, and ``c``, whose rows are not."""
    for name, model in (("m", models.identity()), ("c", models.centred())):
        models.save(model, directory / name)
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s, tenant_header: x-tenant, "
        f"processes: {processes}}}\nmodels:\n"
    ) + "".join(
        f"  {name}: {{cache: {cache}, backends: [{{worker: {{path: {directory / name}}}}}]}}\n"
        for name in ("m", "c")
    )


def ask(
    serving: Serving, *rows: float, model: str = "m", **headers: str
) -> tuple[list[float], str]:
    """The first number of each row of the answer, and what the cache said."""
    connection = http.client.HTTPConnection(serving.http, timeout=30)
    body = {
        "inputs": [
            {
                "name": "x",
                "shape": [len(rows), 2],
                "datatype": "FP32",
                "data": [[row, row] for row in rows],
            }
        ]
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", f"/v2/models/{model}/infer", json.dumps(body), named)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 200, answer
    return answer["outputs"][0]["data"][::2], response.headers["Cache-Status"]


@pytest.fixture(name="serving", scope="module")
def _serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One gateway process for all tests that need no other."""
    directory = tmp_path_factory.mktemp("cache")
    with Serving(directory, text(directory)).ready() as serving:
        yield serving


def test_only_the_missing_rows_of_a_batch_are_computed(serving: Serving) -> None:
    """The worker found by itself that rows do not depend on each other."""
    assert ask(serving, 1, 2, 3) == ([1, 2, 3], "infergate; fwd=uri-miss; stored")
    assert ask(serving, 3, 9, 1) == (
        [3, 9, 1],
        'infergate; fwd=partial; stored; detail="2 of 3 rows"',
    )
    values, status = ask(serving, 9, 3)
    assert (values, status.startswith("infergate; hit; ttl=")) == ([9, 3], True)
    metrics = serving.get("/metrics")[1]
    assert 'infergate_cache_total{layer="memory",model="m",result="partial"} 1.0' in metrics


def test_rows_that_depend_on_each_other_are_one_question(serving: Serving) -> None:
    """A row's answer in one batch is not its answer in another."""
    assert ask(serving, 1, 3, model="c")[0] == [-1, 1]
    assert ask(serving, 1, 5, model="c") == ([-2, 2], "infergate; fwd=uri-miss; stored")
    assert ask(serving, 1, 3, model="c")[1].startswith("infergate; hit")


def test_tenants_do_not_share_answers_not_even_by_an_exact_repeat(serving: Serving) -> None:
    """The raw-body shortcut knows who asks, too."""
    for _ in range(2):
        ask(serving, 20, x_tenant="a")
    assert "fwd=uri-miss" in ask(serving, 20, x_tenant="b")[1]
    assert "fwd=uri-miss" in ask(serving, 20)[1]
    assert "hit" in ask(serving, 20, x_tenant="a")[1]


@pytest.mark.parametrize(
    ("arguments", "said", "missed"),
    [
        (("--model", "m", "--tenant", "a"), "purged model m, tenant a\n", {"a"}),
        (("--tenant", "b"), "purged tenant b\n", {"b"}),
        (("--model", "m"), "purged model m\n", {"a", "b"}),
        (("--all",), "purged all\n", {"a", "b"}),
    ],
)
def test_a_purge_reaches_what_it_names_alone(
    serving: Serving, arguments: tuple[str, ...], said: str, missed: set[str]
) -> None:
    """At once, exact repeats included."""
    for tenant in ("a", "b"):
        for _ in range(2):
            ask(serving, 30, x_tenant=tenant)
    assert infergate(serving, "cache", "purge", *arguments) == (0, said, "")
    found = {tenant for tenant in ("a", "b") if "hit" not in ask(serving, 30, x_tenant=tenant)[1]}
    assert found == missed


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), 'say what to purge: {"model": name}'),
        (("--all", "--model", "m"), "say what to purge"),
        (("--model", "x"), "no model 'x'; there are: m, c"),
    ],
)
def test_a_purge_of_nothing_is_refused(
    serving: Serving, arguments: tuple[str, ...], part: str
) -> None:
    """With what would be right."""
    code, _, error = infergate(serving, "cache", "purge", *arguments)
    assert (code, part in error) == (2, True), error


def test_statistics_are_shown(serving: Serving) -> None:
    """As a table, and as JSON for programs."""
    ask(serving, 40)
    ask(serving, 40)
    code, said, _ = infergate(serving, "cache", "stats")
    assert code == 0
    lines = [line.split() for line in said.splitlines()]
    assert lines[0][:4] == ["model", "tier", "hits", "stale"]
    assert ["m", "memory"] in [line[:2] for line in lines]
    view: dict[str, Any] = {}
    # The processes post what they have counted once a second.
    while not view or view["models"]["m"]["tiers"]["memory"]["hit"] < 1:
        view = json.loads(infergate(serving, "cache", "stats", "--json")[1])
    assert view["bytes"]["memory"] > 0


def test_a_purge_reaches_every_process(tmp_path: Path) -> None:
    """Each has a cache of its own."""
    with Serving(tmp_path, text(tmp_path, processes=2)).ready() as serving:
        for _ in range(40):
            ask(serving, 1)
        assert infergate(serving, "cache", "purge", "--all")[0] == 0
        statuses = [ask(serving, 1)[1] for _ in range(40)]
        assert sum("hit" not in status for status in statuses) == 2


def test_an_old_answer_is_given_while_the_model_is_away(tmp_path: Path) -> None:
    """Marked by a time to live below nothing; a question without one is refused."""
    cache = "{ttl: 1ms, jitter: 0%, stale_while_revalidate: 0s, stale_if_error: 5m}"
    with Serving(tmp_path, text(tmp_path, cache=cache)).ready() as serving:
        assert ask(serving, 1, 2)[0] == [1, 2]
        # It cannot come back.
        (tmp_path / "m" / "1" / "model.onnx").unlink()
        os.kill(serving.children()["m-0"], signal.SIGKILL)
        for rows in ([1], [2, 1]):
            values, status = ask(serving, *rows)
            assert values == rows
            assert status.startswith("infergate; hit; ttl=-")
            assert status.endswith("; detail=stale-if-error")
        with pytest.raises(AssertionError, match="the deadline passed"):
            ask(serving, 3, x_request_timeout_ms="200")


@pytest.mark.parametrize("rows", ["always", "never"])
def test_rows_may_be_declared(tmp_path: Path, rows: str) -> None:
    """But not of a model that is known to couple them: that does not start."""
    serving = Serving(tmp_path, text(tmp_path, cache=f"{{rows: {rows}}}"))
    with serving:
        if rows == "always":
            code, said = serving.ends()
            assert code == 2
            assert (
                "model 'c': cache.rows is always, but output 'y' of a row depends on the other "
                "rows of its batch; expected auto or never"
            ) in said
        else:
            serving.ready()
            ask(serving, 1, 2)
            assert ask(serving, 1, 3)[1] == "infergate; fwd=uri-miss; stored"
