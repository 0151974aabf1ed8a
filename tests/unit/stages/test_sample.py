# SPDX-License-Identifier: Apache-2.0
"""Sample: who is noted, and that nobody is served any differently for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import Shed
from gateway.sampling.mirror import Mirror
from gateway.sampling.recorder import Recorder
from gateway.sampling.rules import Rules
from gateway.stages.sample import Sample
from gateway.telemetry import Telemetry
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.selection import Selection, threshold
from tests.support.notes import answer, recorder
from tests.support.service import PromptService, ScriptedService
from tests.support.upstream import echo, request, settle

SELECTION = Selection(bytes(32))
CHOSEN = next(id_ for id_ in map(str, range(99)) if SELECTION.number(id_) < threshold(0.1))
PASSED = next(id_ for id_ in map(str, range(99)) if SELECTION.number(id_) > threshold(0.9))


def asked(id_: str = CHOSEN, *values: float, **fields: Any) -> InferRequest:
    """A request of one row for each value, with an inference id."""
    made = request(*values)
    made.inference_id = id_
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def sample(inner: Any, notes: Recorder, share: float = 1.0, **options: Any) -> Sample:
    """The stage above *inner*."""
    return Sample(inner, recorder=notes, share=share, selection=SELECTION, **options)


def mirror(notes: Recorder, share: float) -> Mirror:
    """A mirror to a shadow that is never found."""
    return Mirror(
        "n", notes, rules=Rules(share), find=lambda _: None, reader_for=None,
        telemetry=Telemetry(["m"]),
    )  # fmt: skip


async def test_the_answer_is_the_one_that_was_given() -> None:
    """The very object, and a note of it."""
    notes, given = recorder(), answer((1.0, 0.0, 0.0))
    made = asked(tenant="t", slice=0, key=b"k" * 16, labels=("1",))

    assert await sample(PromptService(lambda _: given), notes)(made) is given

    (note,) = notes.notes
    assert note.outputs is given.outputs
    assert (note.id, note.tenant, note.key, note.labels) == (CHOSEN, "t", b"k" * 16, ("1",))
    assert (note.rows, note.pi) == (1, 1.0)


async def test_rows_are_those_of_the_request() -> None:
    """Each of them is a prediction."""
    notes = recorder()
    await sample(PromptService(), notes)(asked(CHOSEN, 1, 2, 3))
    assert [note.rows for note in notes.notes] == [3]


async def test_only_the_share_is_noted() -> None:
    """By the id alone; who is not chosen is answered as well."""
    notes = recorder()
    inner = PromptService()
    stage = sample(inner, notes, 0.1)
    for id_ in (CHOSEN, PASSED, CHOSEN):
        await stage(asked(id_))

    assert [(note.id, note.pi) for note in notes.notes] == [(CHOSEN, 0.1), (CHOSEN, 0.1)]
    assert len(inner.asked) == 3


async def test_what_brings_its_label_is_always_noted() -> None:
    """A label without its prediction would be of no use; it stands for itself alone."""
    notes = recorder()
    await sample(PromptService(), notes, 0.1)(asked(PASSED, labels=("1",)))
    assert [(note.id, note.pi) for note in notes.notes] == [(PASSED, 1.0)]


@pytest.mark.parametrize("error", [Shed("full"), asyncio.CancelledError()])
async def test_what_was_not_answered_is_not_noted(error: BaseException) -> None:
    """Refused, failed or given up by its caller."""
    notes = recorder()
    inner = ScriptedService()
    stage = sample(inner, notes, mirrors=[mirrored := mirror(notes, 1.0)])
    task = asyncio.ensure_future(stage(asked()))
    await settle()
    if isinstance(error, asyncio.CancelledError):
        task.cancel()
    else:
        inner.sent[0].fail(error)
    with pytest.raises(type(error)):
        await task

    assert notes.notes == []
    assert not mirrored


async def test_mirrors_are_offered_their_own_share() -> None:
    """The one that asks for less gets some of the same ids."""
    notes = recorder()
    none, some, all_ = (mirror(notes, share) for share in (0.0, 0.1, 1.0))
    stage = sample(PromptService(), notes, 0.0, mirrors=[none, some, all_])
    for id_ in (CHOSEN, PASSED):
        await stage(asked(id_))

    assert [len(each._queue) for each in (none, some, all_)] == [0, 1, 2]
    assert notes.notes == []


async def test_mirrors_get_what_the_client_sent() -> None:
    """A stage below may have made other inputs of it."""

    def prepare(request_: InferRequest) -> InferResponse:
        request_.inputs = ()
        return echo(request(5))

    notes = recorder()
    mirrored = mirror(notes, 1.0)
    made = asked()
    inputs = made.inputs
    await sample(PromptService(prepare), notes, mirrors=[mirrored])(made)

    assert mirrored._queue[0].inputs is inputs


async def test_probes_and_sequences_are_not_mirrored() -> None:
    """The first are nobody's traffic, the second mean nothing without those before them."""
    notes = recorder()
    mirrored = mirror(notes, 1.0)
    stage = sample(PromptService(), notes, mirrors=[mirrored])
    probe = asked()
    probe.trace.probe = True
    await stage(probe)
    await stage(asked(parameters={"sequence_id": 1}))

    assert not mirrored
    assert len(notes.notes) == 2


async def test_equal_rows_are_recognised_where_that_is_wanted() -> None:
    """Alone or in a batch, and unlike any other; a key of the cache goes before."""
    notes = recorder()
    stage = sample(PromptService(), notes, secret=bytes(32))
    for made in (asked(CHOSEN, 1), asked(CHOSEN, 2, 1), asked(CHOSEN, 3), asked(key=b"c" * 16)):
        await stage(made)

    one, two, three, cached = (note.key for note in notes.notes)
    assert one is not None
    assert two is not None
    assert (len(one), len(two)) == (16, 32)
    assert two[16:] == one
    assert three not in {one, two[:16]}
    assert cached == b"c" * 16
