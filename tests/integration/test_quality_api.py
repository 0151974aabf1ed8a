# SPDX-License-Identifier: Apache-2.0
"""Figures over real sockets: the admin API, the command, and the gauges."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from typer.testing import CliRunner

from gateway.cli import app
from gateway.config import Config, load
from gateway.control.app import errors_as_json
from gateway.control.figures import Figures
from gateway.telemetry import Telemetry
from tests.support.labelled_rows import joined, parts, samples
from tests.support.ledgers import opened

CONFIG = """
models:
  m:
    backends: [{url: http://127.0.0.1:9}]
    quality: {classes: [cat, dog, fox], targets: {accuracy: 0.9}}
  two:
    backends: [{url: http://127.0.0.1:9}]
    quality: {classes: [no, yes], positive: yes}
  plain:
    backends: [{url: http://127.0.0.1:9}]
"""


class Running:
    """What these figures look at: a configuration that may change."""

    def __init__(self, config: Config) -> None:
        self.config = config


class Bench:
    """Figures with a client of their API."""

    def __init__(self, figures: Figures, telemetry: Telemetry, client: Any) -> None:
        self.figures = figures
        self.telemetry = telemetry
        self.client = client

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a path."""
        async with self.client.get(path) as answer:
            return answer.status, await answer.json()

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of ``infergate quality`` with *arguments*."""
        where = f"{self.client.host}:{self.client.port}"
        told = await asyncio.to_thread(
            CliRunner().invoke, app, ["quality", "--admin", where, *arguments]
        )
        return told.exit_code, told.output


@asynccontextmanager
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Figures of three models, of which one has 400 predictions and 300 labels."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    telemetry = Telemetry(["m", "two", "plain"], process="control")
    async with opened(tmp_path) as ledger:
        figures = Figures(Running(load(file)), ledger, telemetry)  # type: ignore[arg-type]
        site = web.Application(middlewares=[errors_as_json])
        figures.add_to(site)
        figures.live.begin(None)
        random = np.random.default_rng(5)
        true = random.integers(0, 3, 400)
        scores = np.full((400, 3), 0.1)
        said = np.where(random.random(400) < 0.8, true, (true + 1) % 3)
        scores[np.arange(400), said] = 0.8
        now = figures.live.now
        columns: dict[str, Any] = {
            "times": np.full(400, now - 5), "scores": parts(scores),
            "endpoint": (np.arange(400) % 2).astype(np.uint16),
            "slices": [{"region": "eu"}, {"region": "us"}],
            "slice": (np.arange(400) % 2).astype(np.uint16),
        }  # fmt: skip
        figures.live.predicted(samples(said, **columns))
        some = {
            key: value[:300] if isinstance(value, np.ndarray) else value
            for key, value in columns.items()
        }
        figures.live.joined(joined(true[:300], said[:300], labelled=np.full(300, now), **some))
        async with TestClient(TestServer(site)) as client:
            yield Bench(figures, telemetry, client)


async def test_every_figure_has_its_rows_coverage_and_interval(tmp_path: Path) -> None:
    """No number stands alone, and a sentence says what it means."""
    async with bench(tmp_path) as it:
        status, told = await it.get("/v1/quality/m?window=1h&average=macro&level=.9")
    assert status == 200
    assert (told["schema_version"], told["model"], told["level"]) == (1, "m", 0.9)
    assert told["rows"]["labelled"] == 300
    assert told["rows"]["coverage"] == pytest.approx(0.75)
    for figure in told["figures"].values():
        assert {"value", "lower", "upper", "n", "effective", "coverage", "sentence"} <= set(figure)
        assert figure["sentence"]
    accuracy = told["figures"]["accuracy"]
    assert accuracy["lower"] < accuracy["value"] < accuracy["upper"]
    assert accuracy["always"][0] < accuracy["lower"]
    assert accuracy["status"] == "below target"
    assert accuracy["target"] == {"lowerBound": 0.9, "upperBound": None, "outsideBounds": True}
    assert accuracy["baseline"] == told["baseline"]["accuracy"]
    assert [one["label"] for one in told["classes"]] == ["cat", "dog", "fox"]
    assert told["without_labels"]["promised"] == pytest.approx(0.8, abs=1e-4)
    assert told["prediction_powered"]["labels"] == 300
    assert {one["name"] for one in told["slices"]} == {"region:eu", "region:us"}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("window=yesterday", "window 'yesterday': expected a time from 1m to 35d"),
        ("window=n:0", "window 'n:0': expected n:1 to n:10000"),
        ("slice=eu", "slice 'eu': expected tag:value"),
        ("slice=region:mars", "slice 'region:mars' has met no row"),
        ("average=mean", "average 'mean': expected one of binary, macro"),
        ("average=binary", "average 'binary': this model has macro, micro, weighted"),
        ("ci=bootstrap", "ci 'bootstrap': expected one of wilson, clopper_pearson"),
        ("level=95", "level '95': expected more than 0.5 and less than 1"),
        ("role=dead", "role 'dead': expected one of served, live, shadow, candidate, probe"),
        ("endpoint=e7", "endpoint 'e7' has answered nothing; there are e0, e1"),
        ("digest=ff", "digest 'ff': those with predictions are d1"),
        ("beta=-1", "beta '-1': expected a number from 0"),
        ("fields=all", "parameter 'fields' is unknown; there are window"),
        ("window=1h&window=24h", "parameter 'window' is there twice"),
    ],
)
async def test_a_wrong_parameter_is_named(tmp_path: Path, query: str, words: str) -> None:
    """Status 400, and one line that says what was wrong and what would be right."""
    async with bench(tmp_path) as it:
        status, told = await it.get(f"/v1/quality/m?{query}")
    assert status == 400
    assert words in told["error"]


async def test_a_model_without_figures_says_why(tmp_path: Path) -> None:
    """One that keeps no predictions, and one that is not there."""
    async with bench(tmp_path) as it:
        first, second = await it.get("/v1/quality/plain"), await it.get("/v1/quality/x")
    assert (first[0], second[0]) == (404, 404)
    assert "keeps no predictions: it has no section 'quality'" in first[1]["error"]
    assert "'x' is not configured; models with figures: m, two" in second[1]["error"]


async def test_the_command_shows_all_models_or_one(tmp_path: Path) -> None:
    """As tables within 80 columns without colours in a pipe, and as JSON."""
    async with bench(tmp_path) as it:
        code, all_models = await it.command()
        assert code == 0
        assert [line.split()[0] for line in all_models.splitlines()[3:5]] == ["m", "two"]
        code, one = await it.command("-m", "m", "--confusion-matrix")
        assert code == 0
        assert "true \\ predicted" in one
        assert "region:eu" in one
        assert max(map(len, (all_models + one).splitlines())) <= 80
        assert "\x1b" not in one
        code, text = await it.command("-m", "m", "--json", "--slice", "region:eu")
        assert json.loads(text)["slice"] == {"region": "eu"}


async def test_the_command_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    """Exit code 2 and one line."""
    async with bench(tmp_path) as it:
        code, told = await it.command("--confusion-matrix")
        assert (code, told.strip()) == (
            2, "infergate: --confusion-matrix is about one model: name it with --model",
        )  # fmt: skip
        code, told = await it.command("-m", "m", "--window", "soon")
        assert code == 2
        assert "window 'soon'" in told


async def test_figures_of_a_part_of_the_ledger_say_so(tmp_path: Path) -> None:
    """After a start it is read again; until then nothing is whole."""
    async with bench(tmp_path) as it:
        assert (await it.get("/v1/quality/m"))[1]["complete"] is True
        it.figures._caught_up = lambda: False
        _, all_models = await it.get("/v1/quality")
        _, told = await it.get("/v1/quality/m")
        assert all_models["complete"] is told["complete"] is False
        assert "still being read" in told["notes"][0]
        assert "still being read" in (await it.command())[1]


async def test_gauges_follow_the_labels(tmp_path: Path) -> None:
    """Accuracy by backend and window, its target, and the series of a model that went is gone."""
    async with bench(tmp_path) as it:
        gauges = it.figures._gauges
        await gauges.refresh()
        metrics = it.telemetry.figures
        _, told = await it.get("/v1/quality/m?window=1h")
        accuracy = told["figures"]["accuracy"]
        assert metrics.accuracy.cell("m", "all", "1h").value == accuracy["value"]
        assert metrics.accuracy_lower.cell("m", "all", "1h").value == accuracy["lower"]
        assert metrics.accuracy_labels.cell("m", "e0", "24h").value == 150
        assert metrics.f1.cell("m", "all", "1h", "macro").value == pytest.approx(
            told["averages"]["macro"]["f1"]["value"]
        )
        assert metrics.coverage.cell("m", "30d").value == pytest.approx(0.75)
        assert metrics.target.cell("m").value == 0.9
        it.figures.live.configure({})
        await gauges.refresh()
        assert not metrics.accuracy.cells
        assert not metrics.f1.cells


async def test_watching_ends_with_an_interrupt(tmp_path: Path) -> None:
    """It looks again and again, and Ctrl-C is no error."""
    async with bench(tmp_path) as it:
        asked = asyncio.Event()
        looks = 0

        @web.middleware
        async def counting(request: web.Request, handler: Any) -> web.StreamResponse:
            nonlocal looks
            looks += 1
            if looks == 2:
                asked.set()
            answer: web.StreamResponse = await handler(request)
            return answer

        site = web.Application(middlewares=[counting, errors_as_json])
        it.figures.add_to(site)
        async with TestServer(site) as server:
            watching = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", "quality", "--watch",
                "--admin", f"{server.host}:{server.port}",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                await asked.wait()
            finally:
                watching.send_signal(signal.SIGINT)
            out, err = await watching.communicate()
        assert (watching.returncode, err) == (0, b"")
        assert b"accuracy" in out
