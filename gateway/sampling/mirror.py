# SPDX-License-Identifier: Apache-2.0
"""Mirror: asks a shadow what the live model was asked, behind the caller's back.

It has a queue and a number of requests under way of its own. The caller has the answer by then, or
is about to: nothing here is waited for, and what does not fit is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.drive import Drive
from gateway.errors import InvalidRequest
from gateway.sampling.note import Note, Pair, noted
from gateway.sampling.target import Limits, Witness, failed
from gateway.wire.message import InferRequest, Trace
from gateway.wire.selection import threshold
from gateway.wire.signature import signature_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.sampling.reading import Reader
    from gateway.sampling.recorder import Recorder
    from gateway.sampling.rules import Rules
    from gateway.sampling.target import Target
    from gateway.telemetry import Telemetry
    from gateway.wire.message import InferResponse
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Tensor

log: Final = logging.getLogger(__name__)

# The lowest that there is: a client's own request to the same model goes first.
PRIORITY: Final = 1 << 31
RESULTS: Final = (
    "answered", "dropped", "overload", "timeout", "refused", "failed", "unfit", "not_chosen",
)  # fmt: skip


class Job(msgspec.Struct, eq=False, gc=False):
    """A request that was answered as *note* says, and what chooses it: *number* below *share*."""

    inputs: tuple[Tensor, ...]
    request: InferRequest
    note: Note
    number: int
    size: int
    share: float = 0.0


class Mirror:
    """Mirrors requests of *recorder*'s model to *shadow*, which *find* gives as it is now.

    *rules* choose; *strained* says whether the process is short of something. *reader_for* makes a
    reader of a shadow that has none. *cache*: it may answer from its own.
    """

    def __init__(
        self,
        shadow: str,
        recorder: Recorder,
        *,
        rules: Rules,
        find: Callable[[str], Target | None],
        reader_for: Callable[[ModelInfo], Reader] | None,
        telemetry: Telemetry,
        limits: Limits = Limits(),  # noqa: B008 - immutable
        cache: bool = False,
        strained: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.shadow = shadow
        self.rules = rules
        # Whoever answers offers what has a number below this.
        self.below = threshold(rules.widest)
        self.limits = limits
        self._recorder = recorder
        self._find = find
        self._reader_for = reader_for
        self._cache = cache
        self._strained = strained
        self._clock = clock
        # Plain shares and their thresholds by the place of a slice.
        self._shares: dict[int, tuple[float, int]] = {}
        self._undecided: list[Job] = []
        self._queue: deque[Job] = deque()
        self._running: set[Drive[InferResponse]] = set()
        self._rows = 0
        self._bytes = 0
        # What will ask, and whether that is as soon as can be.
        self._due: asyncio.Handle | None = None
        self._full = False
        self._warned = False
        # The last inputs that the shadow was found to take.
        self._fit: tuple[ModelInfo | None, list[tuple[str, str, tuple[int, ...]]]] = (None, [])
        self._seen: dict[str, tuple[ModelInfo, Reader | None, Witness | None]] = {}
        self._results = {
            result: telemetry.sampling.shadow.cell(recorder.model, shadow, result)
            for result in RESULTS
        }
        queued = telemetry.sampling.shadow_queued_rows.cell(recorder.model, shadow)

        def collect() -> None:
            queued.value = self._rows

        self.retire = telemetry.on_collect(collect)

    def __repr__(self) -> str:
        return f"<Mirror {self.shadow} {len(self._queue)} queued, {len(self._running)} under way>"

    def __bool__(self) -> bool:
        return bool(self._undecided or self._queue or self._running)

    def offer(
        self, request: InferRequest, inputs: tuple[Tensor, ...], note: Note, number: int
    ) -> None:
        """*request*, which came with *inputs*, was answered; its *number* is below `below`."""
        share, below = self._shares.get(note.slice) or self._learn_share(note.slice)
        if number >= below and not self.rules.reads:
            return
        size = sum([len(tensor.data) for tensor in inputs])
        if (
            self._rows + note.rows > self.limits.queue_rows
            or self._bytes + size > self.limits.queue_bytes
        ):
            self._results["dropped"].value += 1
            return
        self._rows += note.rows
        self._bytes += size
        job = Job(inputs, request, note, number, size, share)
        if self.rules.reads:
            self._undecided.append(job)
            return
        self._queue.append(job)
        self._schedule()

    def decide(self) -> None:
        """Choose among those whose answers have to be read for that."""
        jobs, self._undecided = self._undecided, []
        reader = self._recorder.reader
        if not jobs or reader is None:
            return
        listed = self._recorder.slices.listed
        for batch in self._recorder.batches([job.note for job in jobs], reader, counts=False):
            shares = self.rules.shares(
                batch.read,
                [note.rows for note in batch.notes],
                [listed[note.slice] for note in batch.notes],
            )
            for place, share in zip(batch.places, shares.tolist(), strict=True):
                job = jobs[place]
                job.share = max(job.share, share)
        for job in jobs:
            if job.number < threshold(job.share):
                self._queue.append(job)
            else:
                self._end(job, "not_chosen")
        self._schedule()

    def _learn_share(self, place: int) -> tuple[float, int]:
        share = self.rules.plain(self._recorder.slices.listed[place])
        known = self._shares[place] = (share, threshold(share))
        return known

    def _schedule(self) -> None:
        """See to it that what waits is asked, together with what comes until then."""
        waiting = len(self._queue)
        if not waiting:
            return
        full = waiting >= self.limits.concurrency
        if self._due is not None:
            if self._full or not full:
                return
            self._due.cancel()
        loop = asyncio.get_running_loop()
        self._full = full
        # Never on the stack of whoever has just been answered.
        self._due = (
            loop.call_soon(self._pump) if full else loop.call_later(self.limits.gather, self._pump)
        )

    def _pump(self) -> None:
        self._due = None
        while self._queue and len(self._running) < self.limits.concurrency:
            job = self._queue.popleft()
            if self._strained():
                self._end(job, "overload")
                continue
            # Where the shadow has answered in the model's place, the model is its shadow.
            name = self._recorder.model if job.note.stand_in == self.shadow else self.shadow
            target = self._find(name)
            info = None if target is None else target.info
            if target is None or info is None:
                self._end(job, "refused")
            elif not self._fits(job, info):
                self._end(job, "unfit")
            else:
                self._ask(job, name, target, info)

    def _fits(self, job: Job, info: ModelInfo) -> bool:
        """Whether the shadow takes what the live model took."""
        form = [(tensor.name, tensor.datatype, tensor.shape) for tensor in job.inputs]
        if info is self._fit[0] and form == self._fit[1]:
            return True
        expected = signature_of(info).inputs
        try:
            same = {tensor.name for tensor in job.inputs} == set(expected) and all(
                tensor.datatype == expected[tensor.name].datatype
                and expected[tensor.name].count(tensor.shape) >= 0
                for tensor in job.inputs
            )
        except InvalidRequest:
            same = False
        if same:
            self._fit = (info, form)
        elif not self._warned:
            self._warned = True
            given = ", ".join(map(repr, job.inputs))
            log.warning("shadow %s of %s does not take %s", self.shadow, job.request.model, given)
        return same

    def _ask(self, job: Job, name: str, target: Target, info: ModelInfo) -> None:
        live = job.request
        asked = InferRequest(
            name,
            job.inputs,
            id=live.id,
            parameters=live.parameters,
            deadline=self._clock() + self.limits.timeout,
            priority=PRIORITY,
            trace=Trace(digest=info.digest, affinity=live.trace.affinity),
            tenant=live.tenant,
            inference_id=live.inference_id,
            slice=live.slice,
        )

        def done(response: InferResponse | None, error: BaseException | None) -> None:
            self._running.discard(drive)
            self._schedule()
            if response is None:
                self._end(job, failed(error))
                return
            if not response.version:
                response.version = info.version
            self._end(job, "answered")
            self._pair(job, asked, response, target, info)

        drive: Drive[InferResponse] = Drive(done)
        self._running.add(drive)
        drive.call(target.shadowed(cache=self._cache), asked)

    def _end(self, job: Job, result: str) -> None:
        self._rows -= job.note.rows
        self._bytes -= job.size
        self._results[result].value += 1

    def _pair(
        self,
        job: Job,
        asked: InferRequest,
        response: InferResponse,
        target: Target,
        info: ModelInfo,
    ) -> None:
        witness = self._witness(asked.model, target, info)
        if witness is None:
            return
        live = job.note
        shadow = noted(asked, response, live.key, live.rows, job.share)
        self._recorder.put_pair(witness, Pair(live, shadow))

    def _witness(self, name: str, target: Target, info: ModelInfo) -> Witness | None:
        """What reads the answers of *target*; None where they are not to be compared."""
        if self._recorder.reader is None:
            return None
        reader = target.reader
        seen = self._seen.get(name)
        if seen is None or seen[0] is not info or seen[1] is not reader:
            own = reader
            try:
                if reader is None and self._reader_for is not None:
                    reader = self._reader_for(info)
            except ValueError as error:
                log.warning("answers of shadow %s cannot be read: %s", name, error)
            witness = None if reader is None else Witness(name, reader, self.rules.learn)
            seen = self._seen[name] = (info, own, witness)
        return seen[2]
