# SPDX-License-Identifier: Apache-2.0
"""The API of candidates and shadows: what it shows, what it refuses, and in which words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.control.app import errors_as_json
from gateway.control.candidate_api import CandidateApi
from gateway.control.shadow_api import ShadowApi
from gateway.quality.ledger import Ledger
from tests.support.candidates import Scene
from tests.support.pairs import shadowed


class Desk:
    """The API over a scene, as one client sees it."""

    def __init__(self, scene: Scene, client: TestClient[web.Request, web.Application]) -> None:
        self.scene = scene
        self._client = client

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and answer."""
        answer = await self._client.get(path)
        return answer.status, await answer.json()

    async def post(self, path: str, **body: object) -> tuple[int, Any]:
        """Status and answer to *body*."""
        answer = await self._client.post(path, json=body)
        return answer.status, await answer.json()


@pytest.fixture(name="desk")
async def fixture_desk() -> AsyncIterator[Desk]:
    """A candidate that has just begun, and moves by hand alone."""
    scene = Scene(auto=False)
    app = web.Application(middlewares=[errors_as_json])
    ledger = cast("Ledger", scene.book)
    CandidateApi(scene.operations, scene.candidates, ledger).add_to(app)
    ShadowApi(scene.operations, ledger).add_to(app)
    await scene.round()
    async with TestClient(TestServer(app)) as client:
        yield Desk(scene, client)


async def test_what_has_not_begun_is_shown_as_such(desk: Desk) -> None:
    """No pair, no evidence, no share."""
    status, told = await desk.get("/v1/candidates")
    _, decision = await desk.get("/v1/candidates/m/decision")

    assert status == 200
    (row,) = told["candidates"]
    assert (row["model"], row["candidate"], row["share"]) == ("m", "c", 0.0)
    assert row["sentence"] == "No pair of answers has come yet."
    assert (decision["evidence"], decision["stages"]) == (None, [0.0, 0.5, 1.0])


async def test_the_evidence_is_all_there(desk: Desk) -> None:
    """As the reference names it."""
    desk.scene.pairs(1000, lost=10)
    _, told = await desk.get("/v1/candidates/m/decision")
    evidence = told["evidence"]

    assert (evidence["model"], evidence["candidate"]) == ("live", "candidate")
    pairs = evidence["decision"]["pairs"]
    assert (pairs["rows"], pairs["b"], pairs["c"], pairs["labelled"]) == (1000, 10, 0, 1000)
    assert {"not_worse", "worse", "mcnemar", "disagreement", "difference"} <= set(
        evidence["decision"]
    )
    assert {"harm", "at_most", "rows_needed", "mcnemar_p", "noise"} <= set(evidence)


async def test_nothing_is_promoted_without_proof_unless_forced(desk: Desk) -> None:
    """The refusal says what is lacking."""
    status, told = await desk.post("/v1/candidates/m/promote")
    assert status == 409
    assert told["error"].startswith("the candidate of 'm' has not proven itself: there is no pair")
    status, told = await desk.post("/v1/candidates/m/promote", share=0.2, force=True, actor="ann")
    assert (status, told["share"], told["state"]) == (200, 0.2, "running")
    desk.scene.pairs()
    status, told = await desk.post("/v1/candidates/m/promote")
    assert (status, told["share"], told["state"]) == (200, 1.0, "promoted")
    assert desk.scene.log[-1] == "operator: candidate: promote"


async def test_it_is_rolled_back_and_held(desk: Desk) -> None:
    """By whom is in the audit log."""
    await desk.post("/v1/candidates/m/promote", force=True)
    status, told = await desk.post("/v1/candidates/m/rollback", actor="ann")
    assert (status, told["share"], told["state"]) == (200, 0.0, "rolled back")
    status, told = await desk.post("/v1/candidates/m/hold", actor="ann")
    assert (status, told["held"]) == (200, True)
    _, told = await desk.get("/v1/audit?model=m&limit=2")
    assert [(each["actor"], each["action"]) for each in told["entries"]] == [
        ("ann", "candidate: hold"), ("ann", "candidate: roll back"),
    ]  # fmt: skip


async def test_without_a_ledger_nothing_goes_forward(desk: Desk) -> None:
    """Back it goes, and what can be shown is shown."""
    desk.scene.book.broken = True
    status, told = await desk.post("/v1/candidates/m/promote", force=True)
    assert status == 503
    assert "nothing has changed, as it could not be written down" in told["error"]
    assert (await desk.get("/v1/audit"))[0] == 503
    status, told = await desk.get("/v1/candidates/m/decision")
    assert (status, told["decisions"], told["ledger"]) == (200, None, "the disk is full")
    assert (await desk.post("/v1/candidates/m/rollback"))[0] == 200


async def test_rows_that_have_a_label_are_asked_for_no_more(desk: Desk) -> None:
    """Of the others the classes are named, and why they were chosen."""
    live, said = [0, 0, 0], [1, 1, 0]
    desk.scene.candidates.comparisons.predicted(shadowed(live, said, start=desk.scene.now))
    desk.scene.book.labelled = {("", "id-0", 0)}
    status, told = await desk.get("/v1/label-requests?model=m&limit=10")

    assert status == 200
    rows = [each for each in told["models"]["m"] if each["reason"] == "differs"]
    assert [(each["id"], each["live"], each["candidate"], each["pi"]) for each in rows] == [
        ("id-1", "0", "1", 1.0),
    ]  # fmt: skip


async def test_shadows_are_changed_and_given_back(desk: Desk) -> None:
    """What was said is beside what the file says."""
    status, told = await desk.post("/v1/shadows", model="m", shadow="c", sample=0.25)
    assert (status, told["shadows"]) == (200, [
        {"model": "m", "shadow": "c", "sample": 0.25, "configured": 1.0},
    ])  # fmt: skip
    assert desk.scene.candidates.comparisons._plans["m"].sample == 0.25
    _, told = await desk.post("/v1/shadows", model="m", shadow="c", sample=None)
    assert told["shadows"][0]["sample"] == 1.0
    assert desk.scene.log.count("operator: shadow: sample") == 2


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/candidates/x/promote", {}, 404, "no model 'x' with a candidate; there are: m"),
        ("/v1/candidates/c/rollback", {}, 404, "no model 'c' with a candidate"),
        ("/v1/candidates/m/promote", {"share": 0}, 400, "`float` > 0.0"),
        ("/v1/candidates/m/promote", {"shares": 1}, 400, "unknown field"),
        ("/v1/shadows", {"model": "m", "shadow": "x", "sample": 1}, 404, "has no shadow 'x'"),
        ("/v1/shadows", {"model": "x", "shadow": "c", "sample": 1}, 404, "there are: none"),
        ("/v1/shadows", {"model": "m", "shadow": "c", "sample": 2}, 400, "`float` <= 1.0"),
        ("/v1/label-requests?limit=many", None, 400, "limit 'many': expected a number"),
        ("/v1/label-requests?model=x", None, 404, "no model 'x' with a candidate"),
        ("/v1/audit?before=-1", None, 400, "before '-1': expected a number"),
    ],
)
async def test_what_is_wrong_is_named(
    desk: Desk, path: str, body: dict[str, object] | None, status: int, words: str
) -> None:
    """With what there is, or what would be right."""
    got, told = await (desk.get(path) if body is None else desk.post(path, **body))
    assert got == status
    assert words in told["error"]
