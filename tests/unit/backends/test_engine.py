# SPDX-License-Identifier: Apache-2.0
"""The queue and what becomes of each job, computed on the test's own thread."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import numpy as np
import pytest

from backends.engine import Engine, Job, State
from gateway.errors import FrameError, InvalidRequest, UpstreamError
from gateway.wire.frames import (
    ErrorHead,
    FrameReader,
    InferHead,
    Kind,
    PongHead,
    ResultHead,
    heads_of,
    read_head,
    tensor_frame,
)
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import Buffer, Tensor

X = Tensor.of("x", np.ones((3, 2), np.float32))
Head = ErrorHead | PongHead | ResultHead


class Peer:
    """Collects answers, decoded."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Head]] = []
        self.broken: FrameError | None = None

    def answer(self, id: int, buffers: list[Buffer]) -> None:  # noqa: A002
        """Note an answer."""
        raw = b"".join(map(bytes, buffers))
        reader = FrameReader()
        reader.get_buffer()[: len(raw)] = raw
        (received,) = reader.buffer_updated(len(raw))
        kinds: dict[Kind, type[Any]] = {
            Kind.RESULT: ResultHead, Kind.ERROR: ErrorHead, Kind.PONG: PongHead,
        }  # fmt: skip
        assert received.id == id
        self.answers.append((id, read_head(received.head, kinds[received.kind])))

    def break_off(self, error: FrameError) -> None:
        """Note a broken connection."""
        self.broken = error

    def codes(self) -> list[tuple[int, str]]:
        """The errors among the answers."""
        return [(id_, head.code) for id_, head in self.answers if isinstance(head, ErrorHead)]


class Model:
    """Stands for a session: gives its input back, or does what *during* says."""

    def __init__(self) -> None:
        self.outputs = (TensorSpec("x", "FP32", (-1, 2)),)
        self.runs: list[Any] = []
        self.during: Callable[[], None] = lambda: None

    def feed(self, tensors: tuple[Tensor, ...]) -> dict[str, Any]:
        """Take the tensors as they are."""
        return {tensor.name: tensor for tensor in tensors}

    def select(self, names: list[str]) -> tuple[TensorSpec, ...]:
        """All outputs."""
        return self.outputs

    def run(
        self,
        feed: dict[str, Any],
        outputs: tuple[TensorSpec, ...],
        options: Any = None,
    ) -> tuple[Tensor, ...]:
        """Give the input back."""
        self.runs.append(options)
        self.during()
        return tuple(feed.values())


class Bench:
    """An engine whose queue is worked off when the test says so."""

    def __init__(self, *, probe: bool = True) -> None:
        self.model = Model()
        self.now = 100.0
        self.engine = Engine(
            self.model,  # type: ignore[arg-type]
            probe={"x": X} if probe else None,
            batched=True,
            clock=lambda: self.now,
        )
        self.peer = Peer()

    def job(self, id_: int, *, budget: int = 0, body: bytes | None = None) -> Job:
        """Submit a job."""
        head, *data = tensor_frame(Kind.INFER, id_, InferHead(heads_of((X,)), [], budget), (X,))
        raw = b"".join(map(bytes, data)) if body is None else body
        job = Job(self.peer, id_, bytes(head)[20:], memoryview(raw), self.now)
        self.engine.submit(job)
        return job

    def work(self) -> None:
        """Compute all that is queued."""
        self.engine._queue.put(None)
        self.engine._work()


def _raise(error: Exception) -> Callable[[], None]:
    def during() -> None:
        raise error

    return during


def test_jobs_are_computed_in_order() -> None:
    """Each answer says how many rows it had and how many requests are left."""
    bench = Bench()
    bench.job(1)
    bench.now += 0.002
    bench.job(2)
    bench.work()
    first, second = (head for _, head in bench.peer.answers)
    assert [id_ for id_, _ in bench.peer.answers] == [1, 2]
    assert isinstance(first, ResultHead)
    assert isinstance(second, ResultHead)
    assert (first.rows, first.pending, round(first.queue, -2)) == (3, 1, 2000)
    assert (second.pending, second.queue) == (0, 0)
    assert repr(bench.engine) == "<Engine pending=0 pings=0 draining=False>"


def test_a_job_whose_budget_ran_out_in_the_queue_is_not_computed() -> None:
    """Nobody waits for it any more, and others do."""
    bench = Bench()
    bench.job(1, budget=1000)
    bench.job(2, budget=5000)
    bench.now += 0.002
    bench.work()
    assert bench.peer.codes() == [(1, "deadline_exceeded")]
    assert len(bench.model.runs) == 1


def test_a_waiting_job_is_cancelled_at_once() -> None:
    """It is answered before the queue gets to it, and never computed."""
    bench = Bench()
    bench.job(1)
    job = bench.job(2)
    bench.engine.cancel(job)
    assert bench.peer.codes() == [(2, "client_closed")]
    bench.engine.cancel(job)
    bench.work()
    assert len(bench.model.runs) == 1
    assert [id_ for id_, _ in bench.peer.answers] == [2, 1]
    assert bench.engine.pending == 0


def test_a_running_job_is_terminated() -> None:
    """The run is told to stop, and what it then raises is the cancel, not a failure."""
    bench = Bench()
    job = bench.job(1)

    def during() -> None:
        assert job.state is State.RUNNING
        bench.engine.cancel(job)
        assert bench.model.runs[0].terminate
        raise UpstreamError("terminated")

    bench.model.during = during
    bench.work()
    assert bench.peer.codes() == [(1, "client_closed")]
    assert bench.engine.pending == 0


def test_a_cancel_that_comes_too_late_changes_nothing() -> None:
    """An answer that was sent stands."""
    bench = Bench()
    job = bench.job(1)
    bench.work()
    bench.engine.cancel(job)
    assert len(bench.peer.answers) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("bad index"), "invalid_request"),
        (UpstreamError("no memory"), "upstream_failed"),
    ],
)
def test_a_failed_run_is_answered_and_the_next_one_computed(error: Exception, code: str) -> None:
    """The code says who is to blame."""
    bench = Bench()
    bench.model.during = _raise(error)
    bench.job(1)
    bench.work()
    bench.model.during = lambda: None
    bench.job(2)
    bench.work()
    assert bench.peer.codes() == [(1, code)]
    assert isinstance(bench.peer.answers[1][1], ResultHead)


def test_a_fault_of_the_worker_itself_costs_one_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A compute thread survives what nobody foresaw, and says where it was."""
    bench = Bench()
    bench.model.during = _raise(ZeroDivisionError("unforeseen"))
    bench.job(1)
    bench.work()
    assert bench.peer.codes() == [(1, "upstream_failed")]
    assert "ZeroDivisionError: unforeseen" in capsys.readouterr().err
    assert bench.engine.pending == 0


def test_a_body_that_is_too_short_ends_the_connection() -> None:
    """The bytes are not what the head announces, so what follows cannot be trusted either."""
    bench = Bench()
    bench.job(1, body=b"\0" * 8)
    bench.work()
    assert bench.peer.broken is not None
    assert bench.peer.answers == []
    assert bench.engine.pending == 0


def test_a_ping_runs_the_probe() -> None:
    """An idle worker proves that it computes; several pings share one run."""
    bench = Bench()
    bench.engine.ping(bench.peer, 7)
    bench.engine.ping(bench.peer, 8)
    assert bench.peer.answers == []
    bench.work()
    assert [(id_, type(head)) for id_, head in bench.peer.answers] == [(7, PongHead), (8, PongHead)]
    assert len(bench.model.runs) == 1


def test_a_ping_does_not_wait_for_a_long_queue() -> None:
    """The next inference that succeeds is as good as a probe, which is then left out."""
    bench = Bench()
    for id_ in (1, 2, 3):
        bench.job(id_)
    bench.engine.ping(bench.peer, 9)
    bench.work()
    assert [id_ for id_, _ in bench.peer.answers] == [9, 1, 2, 3]
    assert len(bench.model.runs) == 3


def test_a_failed_inference_answers_no_ping() -> None:
    """It proves nothing; the probe has to."""
    bench = Bench()
    bench.job(1)
    bench.engine.ping(bench.peer, 9)
    bench.model.during = _raise(InvalidRequest("client's fault"))
    bench.work()
    assert bench.peer.codes() == [(1, "invalid_request"), (9, "invalid_request")]


def test_a_ping_after_a_failed_probe_is_probed_again() -> None:
    """A worker that recovers is found to have recovered."""
    bench = Bench()
    bench.model.during = _raise(UpstreamError("no memory"))
    bench.engine.ping(bench.peer, 1)
    bench.work()
    bench.model.during = lambda: None
    bench.engine.ping(bench.peer, 2)
    bench.work()
    assert bench.peer.codes() == [(1, "upstream_failed")]
    assert isinstance(bench.peer.answers[1][1], PongHead)


def test_without_a_probe_a_ping_passes_through_the_queue() -> None:
    """It shows at least that a compute thread is free."""
    bench = Bench(probe=False)
    bench.engine.ping(bench.peer, 1)
    bench.work()
    assert isinstance(bench.peer.answers[0][1], PongHead)
    assert bench.model.runs == []


def test_a_draining_engine_refuses_the_new_and_finishes_the_old() -> None:
    """Idle is told once nothing is left."""
    bench = Bench()
    bench.job(1)
    idle = Event()
    bench.engine.drain(idle.set)
    bench.job(2)
    assert bench.peer.codes() == [(2, "draining")]
    assert not idle.is_set()
    bench.work()
    assert idle.is_set()
    assert isinstance(bench.peer.answers[1][1], ResultHead)


def test_an_idle_engine_has_drained_at_once() -> None:
    """There is nothing to wait for."""
    idle = Event()
    Bench().engine.drain(idle.set)
    assert idle.is_set()


def test_a_cancel_can_be_what_empties_a_draining_engine() -> None:
    """The last job need not be computed."""
    bench = Bench()
    job = bench.job(1)
    idle = Event()
    bench.engine.drain(idle.set)
    bench.engine.cancel(job)
    assert idle.is_set()


def test_threads_end_when_told() -> None:
    """A stopped engine leaves no thread behind."""
    bench = Bench()
    bench.engine.start()
    bench.job(1)
    assert bench.engine.stop(timeout=30)
    assert isinstance(bench.peer.answers[0][1], ResultHead)


def test_a_thread_that_is_busy_is_reported() -> None:
    """The caller must not unload what is still in use."""
    bench = Bench()
    begun, release = Event(), Event()

    def during() -> None:
        begun.set()
        release.wait()

    bench.model.during = during
    bench.engine.start()
    bench.job(1)
    begun.wait()
    assert not bench.engine.stop(timeout=0)
    release.set()
    bench.engine._threads[0].join()
