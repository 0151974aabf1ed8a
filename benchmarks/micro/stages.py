# SPDX-License-Identifier: Apache-2.0
"""What each stage costs a request that it has nothing special to do for.

    python -m benchmarks.micro.stages

Each stage stands alone before a service that answers at once; the time of that service alone is
taken off. Batch, which waits for the loop's next turn, is measured with 32 requests at a time.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import uvloop

from gateway.access_log import AccessLog
from gateway.drive import Drive
from gateway.edge.ids import new_id
from gateway.edge.routes import V2
from gateway.exchange import JSON_ALONE, Answer, Exchange
from gateway.sampling.note import Note
from gateway.sampling.recorder import Recorder
from gateway.sampling.slices import Slices
from gateway.stages.admission import Admission
from gateway.stages.batch import Batch
from gateway.stages.cache import Cache
from gateway.stages.deadline import Deadline
from gateway.stages.gate import Gate
from gateway.stages.hedge import Hedge
from gateway.stages.observe import Observe
from gateway.stages.payoff import Payoff
from gateway.stages.rescue import Rescue
from gateway.stages.retry import Retry
from gateway.stages.retry_budget import RetryBudget
from gateway.stages.sample import Sample
from gateway.stores.memory import MemoryStore
from gateway.telemetry import Telemetry
from gateway.wire.message import InferRequest, InferResponse, Service
from gateway.wire.selection import Selection
from gateway.wire.tensor import Tensor
from tests.support.upstream import Fleet

TOGETHER = 32
ROUNDS = 400
REPEATS = 7
KEY = b"k" * 16
ROW = (Tensor("x", "FP32", (1, 2), b"\0" * 8),)
ANSWER = Answer(200, b"{}", JSON_ALONE)
RESPONSE = InferResponse((Tensor("y", "FP32", (1, 2), b"\0" * 8),), "1")


async def answered(_: Exchange) -> Answer:
    """The end of a stack of exchanges."""
    return ANSWER


async def responded(request: InferRequest) -> InferResponse:
    """The end of a model's stack."""
    if request.members == 1:
        return RESPONSE
    rows = request.inputs[0].shape[0]
    return InferResponse((Tensor("y", "FP32", (rows, 2), b"\0" * (8 * rows)),), "1")


def exchange() -> Exchange:
    """A question as the lane makes it."""
    return Exchange(V2, "m", "", "/v2/models/m/infer", {}, b"{}", "id", inference_id="id")


def request() -> InferRequest:
    """A question as Infer passes it on."""
    return InferRequest("m", ROW, deadline=time.perf_counter() + 30)


_numbers = itertools.count()


def unique() -> InferRequest:
    """A question that nobody has asked before."""
    row = Tensor("x", "FP32", (1, 2), next(_numbers).to_bytes(8, "little"))
    return InferRequest("m", (row,), deadline=time.perf_counter() + 30)


def known() -> InferRequest:
    """A question that comes with its key, as an exact repeat does."""
    asked = request()
    asked.key = KEY
    return asked


class Emptied(Recorder):
    """A recorder whose notes are thrown away a few hundred at a time, unread."""

    def put(self, note: Note) -> None:
        """Keep it for a while."""
        super().put(note)
        if len(self.notes) >= 256:
            self.notes.clear()
            self.rows = self.bytes = 0


def sampled(inner: Service, share: float) -> Sample:
    """The stage that keeps *share* of all answers."""
    recorder = Emptied("m", reader=None, slices=Slices(), telemetry=telemetry)
    return Sample(inner, recorder=recorder, share=share, selection=Selection(b"k" * 32))


def identified() -> InferRequest:
    """A question with an id, as Infer passes it to a model that is sampled."""
    asked = request()
    asked.inference_id = new_id()
    return asked


async def cost(make: Callable[[], Any], service: Callable[[Any], Awaitable[Any]]) -> float:
    """Microseconds of processor time for each call of *service*, made in place."""
    ended = 0

    def done(_: object, error: BaseException | None) -> None:
        nonlocal ended
        if error is not None:
            raise error
        ended += 1

    drives: list[Drive[Any]] = [Drive(done) for _ in range(TOGETHER)]
    figures = []
    for _ in range(REPEATS + 1):
        telemetry.take()
        began = time.process_time()
        for _ in range(ROUNDS):
            ended = 0
            for drive in drives:
                drive.call(service, make())
            while ended < TOGETHER:  # noqa: ASYNC110 - the loop's turns are part of the cost
                await asyncio.sleep(0)
        figures.append((time.process_time() - began) * 1e6 / (ROUNDS * TOGETHER))
    return statistics.median(figures[1:])


telemetry = Telemetry(["m"])


OTHERS = {
    "Sample (all)": identified,
    "Sample (10 %)": identified,
    "Cache (repeat)": known,
    "Cache (miss)": unique,
    "Cache (idle)": unique,
}


async def measure() -> None:
    """One line for each stage."""
    gate, log = Gate(), AccessLog(telemetry=telemetry)
    fleet = Fleet(1, cap=2)
    cache = partial(
        Cache, model="m", store=MemoryStore(max_bytes=1 << 20), digest=lambda: b"", secret=b"s" * 32
    )
    above: dict[str, Callable[[Any], Any]] = {
        "Observe": partial(
            Observe, gate=gate, telemetry=telemetry, access_log=log, models=["m"]
        ),
        "Rescue": Rescue,
        "Deadline": partial(Deadline, total=30.0),
        "Admission": partial(Admission, gate=gate, telemetry=telemetry),
    }  # fmt: skip
    budget = RetryBudget()
    idle = Payoff()
    idle.idle = True
    below: dict[str, Callable[[Any], Any]] = {
        "Sample (all)": partial(sampled, share=1.0),
        "Sample (10 %)": partial(sampled, share=0.1),
        "Cache (hit)": partial(cache, telemetry=telemetry),
        "Cache (repeat)": partial(cache, telemetry=telemetry),
        "Cache (miss)": partial(cache, telemetry=telemetry),
        "Cache (idle)": partial(cache, telemetry=telemetry, payoff=idle),
        "Batch (of 32)": partial(Batch, model="m", pool=fleet.pool, telemetry=telemetry),
        "Retry": partial(Retry, model="m", telemetry=telemetry, budget=budget),
        "Hedge": partial(Hedge, model="m", pool=fleet.pool, telemetry=telemetry, budget=budget),
    }
    for make, end, stages in ((exchange, answered, above), (request, responded, below)):
        bare = await cost(make, end)
        print(f"{'(nothing)':16} {bare:6.2f} us")
        for name, stage in stages.items():
            asked, plain = make, bare
            if name in OTHERS:
                asked = OTHERS[name]
                plain = await cost(asked, end)
            print(f"{name:16} {await cost(asked, stage(end)) - plain:6.2f} us", flush=True)


if __name__ == "__main__":
    uvloop.run(measure())
