# SPDX-License-Identifier: Apache-2.0
"""Split: who answers which request, and what becomes of one that the candidate fails."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import msgspec
import pytest

from gateway.errors import ConnectionLost, DeadlineExceeded, GatewayError, InvalidRequest
from gateway.stages.split import Split, misfits
from gateway.telemetry import Telemetry
from gateway.wire.generation import Rollout
from gateway.wire.message import NEVER, InferRequest, InferResponse, Rows, Trace
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.selection import Selection
from tests.support.generations import config, stage
from tests.support.upstream import MODEL, request, settle

KEY = bytes(32)


def info(digest: str, width: int = 2) -> ModelInfo:
    """A model that takes rows of *width* numbers."""
    tensors = (TensorSpec("x", "FP32", (-1, width)),)
    return ModelInfo("any", digest[0], "", digest, tensors, tensors, batched=True)


class Standing:
    """A model that says who it is, or fails."""

    def __init__(self, served: ModelInfo | None) -> None:
        self.info = served
        self.ready = True
        self.asked: list[InferRequest] = []
        self.error: GatewayError | None = None
        self.rows: Rows | None = None

    async def core(self, asked: InferRequest, /) -> InferResponse:
        """Its answer."""
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        return InferResponse(None if self.rows else (), rows=self.rows)


class Scene:
    """The models m and c, m's stage, and how far c has come."""

    def __init__(self, share: float, *, digest: str = "") -> None:
        self.models = {"m": Standing(info("live")), "c": Standing(info("candidate"))}
        self.rollouts = {"m": Rollout("c", share, digest=digest)}
        self.telemetry = Telemetry(["m", "c"])
        self.split = Split(
            self.models["m"].core,
            model="m",
            models=self.models,
            rollouts=self.rollouts,
            selection=Selection(KEY, "split"),
            telemetry=self.telemetry,
        )

    async def ask(
        self, id_: str = "1", *, deadline: float = NEVER, **more: object
    ) -> tuple[InferRequest, InferResponse]:
        """A request under *id_* and its answer."""
        asked = InferRequest(
            "m", (), inference_id=id_, trace=Trace(digest="live"), key=b"k", deadline=deadline
        )
        for name, value in more.items():
            setattr(asked.trace, name, value)
        return asked, await self.split(asked)

    def count(self, arm: str, result: str) -> float:
        """How many requests of *arm* had *result*."""
        return self.telemetry.candidates.requests.cell("m", arm, result).value

    async def chosen(self, share: float, ids: int = 2000) -> set[str]:
        """The ids that the candidate has at *share*."""
        self.rollouts["m"] = msgspec.structs.replace(self.rollouts["m"], share=share)
        found = set()
        for number in range(ids):
            asked, _ = await self.ask(f"id-{number}")
            if asked.trace.stand_in:
                found.add(asked.inference_id)
        return found


async def test_without_a_share_nobody_stands_in() -> None:
    """Nor is anything counted."""
    scene = Scene(0.0)
    asked, _ = await scene.ask()
    scene.rollouts.clear()
    await scene.ask()

    assert (asked.trace.stand_in, len(scene.models["m"].asked)) == ("", 2)
    assert scene.count("live", "ok") == 0


async def test_a_larger_share_keeps_who_it_has() -> None:
    """And gives the candidate about as many as it says."""
    scene = Scene(0.0)
    few, many = await scene.chosen(0.1), await scene.chosen(0.5)

    assert few < many
    assert 150 <= len(few) <= 250
    assert 900 <= len(many) <= 1100
    assert await scene.chosen(0.1) == few
    assert len(await scene.chosen(1.0)) == 2000


async def test_it_answers_as_itself() -> None:
    """Its digest and version, under no key of the other's cache."""
    scene = Scene(1.0)
    asked, response = await scene.ask()
    (taken,) = scene.models["c"].asked

    assert (asked.trace.digest, asked.trace.stand_in, response.version) == ("candidate", "c", "c")
    assert (taken.model, taken.key, taken.trace) == ("c", None, asked.trace)
    assert scene.count("candidate", "ok") == 1
    assert sum(scene.telemetry.candidates.seconds.cell("m", "candidate").counts) == 1


async def test_a_row_of_a_batch_takes_no_text_along() -> None:
    """The batch may keep texts that name another model."""
    scene = Scene(1.0)
    kept = scene.models["c"].rows = Rows((), 0)
    _, response = await scene.ask()

    assert response.rows is None
    assert kept.kept is None


async def test_what_it_fails_the_model_answers() -> None:
    """Its failure is counted, and nothing of it is told."""
    scene = Scene(1.0)
    scene.models["c"].error = ConnectionLost("gone")
    asked, _ = await scene.ask()

    assert (asked.trace.stand_in, asked.trace.digest, asked.key) == ("", "live", b"k")
    assert len(scene.models["m"].asked) == 1
    assert (scene.count("candidate", "failed"), scene.count("candidate", "ok")) == (1, 0)


@pytest.mark.parametrize("error", [InvalidRequest("bad"), DeadlineExceeded("late")])
async def test_what_the_model_could_not_mend_is_not_asked_again(error: GatewayError) -> None:
    """A bad request is one to both, and no time is left behind a deadline."""
    scene = Scene(1.0)
    scene.models["c"].error = error
    with pytest.raises(type(error)):
        await scene.ask(deadline=perf_counter() - 1)

    assert scene.models["m"].asked == []
    assert scene.count("candidate", "failed") == isinstance(error, DeadlineExceeded)


async def test_the_model_has_half_of_the_time_for_what_the_candidate_lets_lie() -> None:
    """A candidate that does not answer costs no client its answer."""
    scene = Scene(1.0)
    scene.models["c"].error = DeadlineExceeded("late")
    begun = perf_counter()
    asked, _ = await scene.ask(deadline=begun + 100)

    assert asked.trace.stand_in == ""
    assert 49 < scene.models["c"].asked[0].deadline - begun < 51
    assert scene.models["m"].asked[0].deadline == begun + 100
    assert scene.count("candidate", "failed") == 1


async def test_another_file_than_the_proven_one_answers_nothing() -> None:
    """Nor does one that takes other tensors, or that is not there."""
    scene = Scene(1.0, digest="proven")
    asked, _ = await scene.ask()
    scene.rollouts["m"] = Rollout("c", 1.0)
    scene.models["c"].info = info("candidate", width=3)
    await scene.ask()
    scene.models["c"].info = None
    await scene.ask()
    scene.models["c"].info, scene.models["c"].ready = info("candidate"), False
    await scene.ask()
    del scene.models["c"]
    await scene.ask()

    assert asked.trace.stand_in == ""
    assert (scene.count("candidate", "unready"), scene.count("live", "ok")) == (5, 5)


async def test_probes_ask_whom_they_name() -> None:
    """They compare a model with itself."""
    scene = Scene(1.0)
    asked, _ = await scene.ask(probe=True)

    assert asked.trace.stand_in == ""


def test_a_candidate_takes_and_gives_what_the_model_does() -> None:
    """What is not known yet is no fault."""
    models = {"m": Standing(info("a")), "c": Standing(info("b", width=3)), "d": Standing(None)}

    assert misfits(models, {"m": "d", "d": "m", "x": "y"}) == []
    (fault,) = misfits(models, {"m": "c"})
    assert fault == (
        "models.m.candidate: 'c' is no candidate: expected input 'x' FP32[-1, 2], "
        "not 'x' FP32[-1, 3]"
    )


async def test_a_generation_moves_the_share(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In one turn, without another stack; and the answer comes from the candidate's workers."""
    monkeypatch.setattr("gateway.sampler.sampling_key_file", lambda _: tmp_path / "key")
    wanted = config(m=", quality: {classes: 2}, shadow: {model: c}, candidate: {model: c}", c="")
    async with stage(monkeypatch, wanted) as here:
        model = here.gateway.models["m"]
        change = here.to(wanted)
        change.generation = msgspec.structs.replace(
            change.generation, rollouts={"m": Rollout("c", 1.0)}
        )
        assert await change.prepare() == []
        change.commit()
        assert here.gateway.models["m"] is model
        answer = here.ask("m", request())
        await settle()
        here.peer("c-0").sent[0].respond()
        await answer
        assert here.peer("m-0").sent == []


async def test_a_candidate_that_does_not_fit_refuses_the_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the tensor at fault."""
    monkeypatch.setattr("gateway.sampler.sampling_key_file", lambda _: tmp_path / "key")
    async with stage(monkeypatch, config(m="")) as here:
        here.info["c"] = msgspec.structs.replace(MODEL, outputs=())
        wanted = config(
            m=", quality: {classes: 2}, shadow: {model: c}, candidate: {model: c}", c=""
        )
        change = here.to(wanted)
        (fault,) = await change.prepare()
        change.abort()
        assert fault.startswith("models.m.candidate: 'c' is no candidate: expected outputs")
