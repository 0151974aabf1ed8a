# SPDX-License-Identifier: Apache-2.0
"""Engine: the queue of inferences and the threads that compute them.

A run that is over sooner than a thread could be woken for it is done where it arrives, while
nothing else is under way; all others are done off the event loop.

A job is answered exactly once, by whoever takes it out of its state: a compute thread, or the
loop that cancels it while it waits. Answers leave from the compute thread itself; handing each
to the event loop would cost two more thread switches than the inference of a small model.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from queue import SimpleQueue
from threading import Lock, Thread
from time import perf_counter
from typing import Any, Final, Protocol

from backends.session import Session, run_options
from backends.tensors import Feed
from gateway.errors import (
    ClientClosed,
    DeadlineExceeded,
    Draining,
    FrameError,
    GatewayError,
    UpstreamError,
)
from gateway.wire.frames import (
    ErrorHead,
    InferHead,
    Kind,
    PongHead,
    ResultHead,
    frame,
    heads_of,
    read_head,
    read_tensors,
    tensor_frame,
)
from gateway.wire.tensor import Buffer

_NO_BODY: Final = memoryview(b"")
# Seconds. To wake a compute thread and to be woken takes 30 to 50 µs of an otherwise idle worker's
# answer; a run may hold up the loop for a few times that, not more.
BRIEF: Final = 200e-6


class Client(Protocol):
    """Who asked; both methods may be called from any thread."""

    def answer(self, id: int, buffers: list[Buffer]) -> None:  # noqa: A002 - as in the frame
        """Send *buffers*, the one answer to *id*."""

    def break_off(self, error: FrameError) -> None:
        """End the connection: what came on it is not what the protocol allows."""


class State(IntEnum):
    """How far a job is."""

    QUEUED = 1
    RUNNING = 2
    DONE = 3


class Job:
    """One inference on its way; *head* and *body* are still encoded."""

    __slots__ = ("arrived", "body", "cancelled", "client", "head", "id", "options", "state")

    def __init__(
        self,
        client: Client,
        id: int,  # noqa: A002 - as in the frame
        head: Buffer,
        body: memoryview,
        arrived: float,
    ) -> None:
        self.client = client
        self.id = id
        self.head = head
        self.body = body
        self.arrived = arrived
        self.state = State.QUEUED
        self.cancelled = False
        self.options: Any = None

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.state.name}>"


class _Probe:
    """A place in the queue for the inference that answers pings."""


_PROBE: Final = _Probe()


class Engine:
    """Computes jobs in the order of their arrival, *instances* at a time.

    *probe* is the feed of the inference that answers a ping; without one, a ping is answered
    when a compute thread gets to it. *brief* seconds is what a run in place may take, 0 for none.
    """

    def __init__(
        self,
        session: Session,
        *,
        probe: Feed | None,
        batched: bool,
        instances: int = 1,
        brief: float = BRIEF,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._session = session
        self._probe = probe
        self._batched = batched
        self._clock = clock
        self._brief = brief
        # The largest body whose run was brief when it was last seen; nothing larger runs in place.
        self._brief_size = -1
        self._queue: SimpleQueue[Job | _Probe | None] = SimpleQueue()
        # Guards the fields below, and `state` and `options` of every job.
        self._lock = Lock()
        self._pending = 0
        self._pings: list[tuple[Client, int]] = []
        self._probe_queued = False
        self._draining = False
        self._on_idle: Callable[[], None] | None = None
        self._threads = [
            Thread(target=self._work, name=f"compute-{index}", daemon=True)
            for index in range(instances)
        ]

    def __repr__(self) -> str:
        return (
            f"<Engine pending={self._pending} pings={len(self._pings)} draining={self._draining}>"
        )

    @property
    def pending(self) -> int:
        """Jobs that are queued or running."""
        return self._pending

    def start(self) -> None:
        """Start the compute threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> bool:
        """End the threads once the queue is empty; False if one is still busy after *timeout* s."""
        for _ in self._threads:
            self._queue.put(None)
        end = self._clock() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - self._clock()))
        return not any(thread.is_alive() for thread in self._threads)

    def submit(self, job: Job) -> None:
        """Queue *job*, or answer at once that this worker takes no more."""
        with self._lock:
            refused = self._draining
            if refused:
                job.state = State.DONE
            else:
                self._pending += 1
            in_place = self._pending == 1 and len(job.body) <= self._brief_size
        if refused:
            _refuse(job, Draining("this worker is about to end and takes no more"))
        elif in_place:
            self._complete(job)
        else:
            self._queue.put(job)

    def cancel(self, job: Job) -> None:
        """Drop *job* if it waits, stop its run if it is under way; either way it is answered."""
        with self._lock:
            queued = job.state is State.QUEUED
            if queued:
                job.state = State.DONE
                job.body = _NO_BODY  # it stays in the queue, its tensors need not
            elif job.state is State.RUNNING:
                job.cancelled = True
                job.options.terminate = True
        if queued:
            _refuse(job, ClientClosed("cancelled before it was computed"))
            self._finished()

    def ping(self, client: Client, id: int) -> None:  # noqa: A002 - as in the frame
        """Answer *id* after the next inference that succeeds, of a job or of the probe."""
        with self._lock:
            self._pings.append((client, id))
            queue = not self._probe_queued
            self._probe_queued = True
        if queue:
            self._queue.put(_PROBE)

    def drain(self, on_idle: Callable[[], None]) -> None:
        """Refuse what comes from now on; *on_idle* is called, from any thread, at the end."""
        with self._lock:
            self._draining = True
            self._on_idle = on_idle
            idle = not self._pending
        if idle:
            on_idle()

    def _work(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, Job):
                self._complete(item)
            else:
                self._run_probe()

    def _complete(self, job: Job) -> None:
        if self._take(job):
            self._compute(job)
            self._finished(job)

    def _take(self, job: Job) -> bool:
        options = run_options()
        with self._lock:
            if job.state is not State.QUEUED:
                return False
            job.options = options
            job.state = State.RUNNING
            return True

    def _compute(self, job: Job) -> None:
        try:
            buffers = self._infer(job)
        except FrameError as error:
            job.client.break_off(error)
            return
        except GatewayError as error:
            _refuse(
                job, ClientClosed("cancelled while it was computed") if job.cancelled else error
            )
            return
        except Exception as error:  # noqa: BLE001 - a thread's border: without it none would compute
            traceback.print_exc(file=sys.stderr)
            _refuse(job, UpstreamError(f"the worker failed: {type(error).__name__}: {error}"))
            return
        job.client.answer(job.id, buffers)

    def _infer(self, job: Job) -> list[Buffer]:
        started = self._clock()
        waited = int((started - job.arrived) * 1e6)
        head = read_head(job.head, InferHead)
        if 0 < head.budget <= waited:
            raise DeadlineExceeded(
                f"{waited} µs in the worker's queue, and only {head.budget} µs were left"
            )
        inputs = read_tensors(head.inputs, job.body)
        session = self._session
        feed = session.feed(inputs)
        outputs = session.select(head.outputs)
        begun = self._clock()
        tensors = session.run(feed, outputs, job.options)
        seconds = self._clock() - begun
        compute = int(seconds * 1e6)
        self._learn(len(job.body), seconds)
        if self._pings:
            self._pong(compute)
        rows = inputs[0].rows if self._batched else 1
        result = ResultHead(heads_of(tensors), waited, compute, max(0, self._pending - 1), rows)
        return tensor_frame(Kind.RESULT, job.id, result, tensors)

    def _learn(self, size: int, seconds: float) -> None:
        if seconds < self._brief:
            self._brief_size = max(self._brief_size, size)
        else:
            self._brief_size = min(self._brief_size, size - 1)

    def _finished(self, job: Job | None = None) -> None:
        """Count a job out; it has been answered."""
        with self._lock:
            self._pending -= 1
            if job is not None:
                job.state = State.DONE
            on_idle = self._on_idle if not self._pending else None
        if on_idle is not None:
            on_idle()

    def _run_probe(self) -> None:
        with self._lock:
            self._probe_queued = False
        if not self._pings:
            return  # an inference has answered them meanwhile
        begun = self._clock()
        if self._probe is not None:
            try:
                self._session.run(self._probe, self._session.outputs)
            except GatewayError as error:
                with self._lock:
                    pings, self._pings = self._pings, []
                for client, id_ in pings:
                    client.answer(id_, [_error(id_, error)])
                return
        self._pong(int((self._clock() - begun) * 1e6))

    def _pong(self, compute: int) -> None:
        with self._lock:
            pings, self._pings = self._pings, []
        for client, id_ in pings:
            client.answer(id_, [frame(Kind.PONG, id_, PongHead(self._pending, compute))])


def _error(id_: int, error: GatewayError) -> bytes:
    return frame(Kind.ERROR, id_, ErrorHead(error.code, error.message))


def _refuse(job: Job, error: GatewayError) -> None:
    job.client.answer(job.id, [_error(job.id, error)])
