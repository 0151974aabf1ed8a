# SPDX-License-Identifier: Apache-2.0
"""Mirror: asks a shadow, at nobody's expense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.errors import BadAnswer, DeadlineExceeded, NoReadyEndpoint
from gateway.sampling.mirror import PRIORITY, Mirror
from gateway.sampling.rules import Rule, Rules
from gateway.sampling.target import Limits
from gateway.telemetry import Telemetry
from gateway.wire.message import InferRequest
from gateway.wire.selection import threshold
from gateway.wire.tensor import Tensor
from tests.support.edge import model
from tests.support.notes import LABEL, SCORES, answer, note, reader, recorder
from tests.support.service import ScriptedService
from tests.support.upstream import Clock, request, settle

if TYPE_CHECKING:
    from gateway.sampling.note import Note
    from gateway.sampling.recorder import Recorder
    from gateway.wire.message import InferResponse, Service
    from gateway.wire.model import ModelInfo

A, B = (0.9, 0.1, 0.0), (0.3, 0.4, 0.3)


class Shadow:
    """A model that is asked as a shadow; *service* is below its cache, *cached* above."""

    def __init__(self) -> None:
        self.service = ScriptedService()
        self.cached = ScriptedService()
        self.info: ModelInfo | None = model(outputs=[LABEL, SCORES])
        self.reader = reader()

    def shadowed(self, *, cache: bool) -> Service:
        """One of the two."""
        return self.cached if cache else self.service


class House:
    """A mirror from "m" to "n", both of them, and what is counted."""

    def __init__(
        self,
        *,
        rules: Rules | None = None,
        limits: Limits = Limits(),  # noqa: B008 - immutable
        gather: float = 0.0,
        **options: Any,
    ) -> None:
        self.telemetry = Telemetry(["m"])
        self.notes: Recorder = recorder(self.telemetry)
        self.models = {"n": Shadow(), "m": Shadow()}
        self.shadow = self.models["n"]
        self.strained = False
        self.clock = Clock()
        self.mirror = Mirror(
            "n", self.notes, rules=rules or Rules(1.0), find=self.models.get, reader_for=None,
            telemetry=self.telemetry, strained=lambda: self.strained, clock=self.clock,
            limits=limits._replace(gather=gather), **options,
        )  # fmt: skip

    def offer(
        self, *values: float, number: int = 0, said: InferResponse | None = None, **fields: Any
    ) -> Note:
        """A request of one row for each value was answered."""
        asked = request(*values)
        asked.tenant = "t"
        asked.inference_id = fields.get("id_", "a")
        told = note(said or answer(A), rows=asked.rows, **fields)
        self.mirror.offer(asked, asked.inputs, told, number)
        return told

    def counts(self) -> dict[str, float]:
        """What became of requests, by result."""
        return {
            key[2]: cell.value
            for key, cell in self.telemetry.sampling.shadow.cells.items()
            if cell.value
        }

    @property
    def asked(self) -> list[InferRequest]:
        """What reached the shadow."""
        return [sent.request for sent in self.shadow.service.sent]


async def test_nothing_happens_on_the_stack_of_the_caller() -> None:
    """The caller's answer goes out first."""
    house = House()
    house.offer()
    assert house.asked == []

    await settle()
    assert len(house.asked) == 1


async def test_requests_are_gathered_until_there_are_enough() -> None:
    """One alone costs as much as many; when it comes to an hour, the first waits for the third."""
    house = House(limits=Limits(concurrency=3), gather=3600.0)
    house.offer()
    house.offer()
    await settle()
    assert house.asked == []

    house.offer()
    await settle()
    assert len(house.asked) == 3


async def test_the_shadow_is_asked_the_same_with_the_lowest_priority() -> None:
    """Under its own name and time, by the same tenant, and past its cache."""
    house = House(limits=Limits(timeout=3.0))
    house.offer(7.0)
    await settle()

    (asked,) = house.asked
    assert (asked.model, asked.tenant, asked.priority) == ("n", "t", PRIORITY)
    assert asked.deadline == house.clock.now + 3.0
    assert asked.inputs[0].array().tolist() == [[7.0, 7.0]]
    assert house.shadow.cached.sent == []


async def test_its_cache_may_answer_where_that_is_wanted() -> None:
    """Then it is asked above it."""
    house = House(cache=True)
    house.offer()
    await settle()
    assert (len(house.shadow.cached.sent), house.asked) == (1, [])


async def test_both_answers_make_a_pair() -> None:
    """With the share by which it was chosen."""
    house = House(rules=Rules(0.25))
    house.offer(id_="x")
    await settle()
    house.shadow.service.sent[0].respond(answer(B))
    await settle()

    (found,) = house.notes.take_pairs(10)
    assert (found.ids, found.role, found.name) == (["x"], "shadow", "n")
    assert found.live is not None
    assert (found.live.tolist(), found.predicted.tolist()) == ([0], [1])
    assert found.pi.tolist() == [0.25]
    assert house.counts() == {"answered": 1}


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (DeadlineExceeded("late"), "timeout"),
        (NoReadyEndpoint("none"), "refused"),
        (BadAnswer("bad"), "failed"),
        (ZeroDivisionError(), "failed"),
    ],
)
async def test_a_shadow_that_fails_is_counted(error: Exception, result: str) -> None:
    """And the next is asked."""
    house = House(limits=Limits(concurrency=1))
    house.offer()
    house.offer()
    await settle()
    house.shadow.service.sent[0].fail(error)
    await settle()

    assert house.counts() == {result: 1}
    assert len(house.asked) == 2
    assert house.notes.take_pairs(10) == []


async def test_as_many_as_may_are_under_way() -> None:
    """The others wait for their turn, in order."""
    house = House(limits=Limits(concurrency=2))
    for value in range(5):
        house.offer(float(value))
    await settle()
    assert len(house.asked) == 2

    house.shadow.service.sent[0].respond(answer(A))
    await settle()
    assert [each.inputs[0].array()[0, 0] for each in house.asked] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("limits", [Limits(queue_rows=4), Limits(queue_bytes=4 * 8)])
async def test_what_does_not_fit_is_dropped(limits: Limits) -> None:
    """The newest, and counted; what is under way takes room as well."""
    house = House(limits=limits)
    house.offer(1, 2, 3)
    house.offer(1, 2)
    house.offer(1)
    house.offer(1)
    await settle()

    assert house.counts() == {"dropped": 2}
    assert [asked.rows for asked in house.asked] == [3, 1]
    for sent in house.shadow.service.sent:
        sent.fail(BadAnswer("bad"))
    await settle()
    house.offer(1, 2, 3, 4)
    await settle()
    assert house.counts() == {"dropped": 2, "failed": 2}
    assert not house.shadow.service.sent[-1].answer.done()


async def test_a_process_in_need_asks_no_shadow() -> None:
    """Shadows go first when something is short."""
    house = House()
    house.strained = True
    house.offer()
    await settle()
    assert (house.counts(), house.asked) == ({"overload": 1}, [])


async def test_a_shadow_that_is_not_there_is_not_asked() -> None:
    """Not known to this process, or not up yet."""
    house = House()
    house.shadow.info = None
    house.offer()
    await settle()
    del house.models["n"]
    house.offer()
    await settle()
    assert house.counts() == {"refused": 2}


async def test_a_shadow_that_takes_something_else_is_not_asked() -> None:
    """A name, a datatype or a shape is another one."""
    house = House()
    for inputs in (
        [("z", "FP32", (-1, 2))], [("x", "FP64", (-1, 2))], [("x", "FP32", (-1, 3))],
        [("x", "FP32", (-1, 2)), ("y", "FP32", (-1, 2))],
    ):  # fmt: skip
        house.shadow.info = model(inputs=inputs, outputs=[LABEL, SCORES])
        house.offer()
        await settle()
    assert (house.counts(), house.asked) == ({"unfit": 4}, [])


async def test_low_numbers_alone_are_asked() -> None:
    """Those that the share is not for cost nothing."""
    house = House(rules=Rules(0.5))
    house.offer(number=threshold(0.5) - 1)
    house.offer(number=threshold(0.5))
    await settle()
    assert len(house.asked) == 1
    assert house.counts() == {}


async def test_unsure_answers_are_asked_about_more_often() -> None:
    """What is read is read for many at once, and the larger share is noted."""
    house = House(rules=Rules(0.1, [Rule(0.8, confidence_below=0.6)]))
    for said, share in ((answer(A), 0.05), (answer(A), 0.5), (answer(B), 0.5), (answer(B), 0.9)):
        house.offer(number=threshold(share), said=said, id_=f"{share}")
    await settle()
    assert house.asked == []

    house.mirror.decide()
    await settle()
    for sent in house.shadow.service.sent:
        sent.respond(answer(A))
    await settle()

    (found,) = house.notes.take_pairs(10)
    assert found.ids == ["0.05", "0.5"]
    assert found.pi.tolist() == pytest.approx([0.1, 0.8])
    assert house.counts() == {"answered": 2, "not_chosen": 2}


async def test_what_cannot_be_read_has_the_plain_share() -> None:
    """A client that asked for another output is no reason to ask about it more often."""
    house = House(rules=Rules(0.1, [Rule(1.0, confidence_below=0.6)]))
    empty = answer(A)
    empty.given = (Tensor.of("other", np.zeros((1, 1), np.float32)),)
    house.offer(said=empty, number=threshold(0.05))
    house.offer(said=empty, number=threshold(0.5))
    house.mirror.decide()
    await settle()

    assert len(house.asked) == 1
    assert house.counts() == {"not_chosen": 1}
    assert house.notes.take_lost() is None


async def test_a_model_is_the_shadow_of_its_stand_in() -> None:
    """Where the shadow has answered in the model's place, asking it again would tell nothing."""
    house = House()
    told = note(answer(A), "x", stand_in="n")
    asked = request()
    house.mirror.offer(asked, asked.inputs, told, 0)
    await settle()
    (sent,) = house.models["m"].service.sent
    sent.respond(answer(B))
    await settle()

    assert house.asked == []
    (found,) = house.notes.take_pairs(1)
    assert (found.name, found.role, found.predicted.tolist()) == ("m", "shadow", [1])
