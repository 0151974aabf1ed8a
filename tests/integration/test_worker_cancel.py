# SPDX-License-Identifier: Apache-2.0
"""Work that nobody waits for any more: cancelled, expired, or its peer has gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.wire.frames import Kind
from tests.support import models
from tests.support.worker_process import FOREVER, Worker


@pytest.fixture
def counting(tmp_path: Path) -> Path:
    """The model whose requests say how long they take."""
    return models.save(models.counting(), tmp_path / "counting")


def test_a_run_without_end_is_stopped(counting: Path) -> None:
    """What waits behind it is computed, and the worker is as good as before."""
    with Worker(counting) as worker, worker.connect() as client:
        endless, short = client.count(FOREVER), client.count(3)
        client.cancel(endless)
        id_, head = client.error()
        assert (id_, head.code) == (endless, "client_closed")
        answered, _, outputs = client.result()
        assert answered == short
        assert outputs["y"].array().tolist() == [3]


def test_a_waiting_request_is_cancelled_at_once(counting: Path) -> None:
    """Its answer does not wait for the run before it."""
    with Worker(counting) as worker, worker.connect() as client:
        endless, waiting = client.count(FOREVER), client.count(1)
        client.cancel(waiting)
        assert client.error()[0] == waiting
        client.cancel(endless)
        assert client.error()[0] == endless


def test_a_request_that_expires_in_the_queue_is_not_computed(counting: Path) -> None:
    """One microsecond is over by the time that its turn comes."""
    with Worker(counting) as worker, worker.connect() as client:
        endless, expiring = client.count(FOREVER), client.count(FOREVER, budget=1)
        client.cancel(endless)
        assert client.error()[0] == endless
        id_, head = client.error()
        assert (id_, head.code) == (expiring, "deadline_exceeded")


def test_a_peer_that_goes_takes_its_work_with_it(counting: Path) -> None:
    """The next peer does not wait for what nobody else wants."""
    with Worker(counting) as worker:
        with worker.connect() as gone:
            for _ in range(5):
                gone.count(FOREVER)
        with worker.connect() as client:
            short = client.count(2)
            assert client.result()[0] == short


def test_no_pong_comes_while_nothing_can_be_computed(counting: Path) -> None:
    """A ping proves computing, not listening: it is answered once the run before it has ended."""
    with Worker(counting) as worker, worker.connect() as client:
        endless, ping = client.count(FOREVER), client.ping()
        client.cancel(endless)
        assert client.error()[0] == endless
        pong = client.answer()
        assert (pong.kind, pong.id) == (Kind.PONG, ping)


def test_a_second_instance_works_beside_a_run_without_end(counting: Path) -> None:
    """Instances compute at the same time."""
    with Worker(counting, "--instances", "2") as worker, worker.connect() as client:
        endless, short = client.count(FOREVER), client.count(2)
        assert client.result()[0] == short
        client.cancel(endless)
        assert client.error()[0] == endless
