# SPDX-License-Identifier: Apache-2.0
"""Profile: an even draw of rows, hits and batches alike, and probes left out."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest

from gateway.stages import profile
from gateway.stages.profile import Draw, Profile, features_drawn
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.tensor import Tensor


def asked(*values: float) -> tuple[tuple[Tensor, ...], InferResponse]:
    """A request with these rows, and an answer that is the same."""
    rows = np.asarray(values, np.float32)[:, None]
    return (Tensor.of("x", rows),), InferResponse((Tensor.of("y", rows),))


def put(draw: Draw, inputs: tuple[Tensor, ...], response: InferResponse) -> None:
    """Ask, and answer at once."""
    rows = inputs[0].shape[0] if inputs[0].shape else 1
    draw.seen += rows
    if draw.seen > draw.next:
        draw.fill(draw.reserve(inputs, rows), inputs, response)


def drawn(draw: Draw) -> list[float]:
    """The values of the rows in *draw*, which begins anew."""
    rows, _ = draw.take(10)
    return [float(each.inputs[0].array()[each.row, 0]) for each in rows]


def test_few_rows_are_all_drawn() -> None:
    """In their order, whatever requests they came in."""
    draw = Draw(10)
    put(draw, *asked(0, 1, 2))
    put(draw, *asked(3))
    assert draw.seen == 4
    assert drawn(draw) == [0, 1, 2, 3]
    assert (draw.seen, draw.take(10)) == (0, ([], 0))


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_each_row_is_drawn_as_often(batch: int) -> None:
    """Rows of large requests as well as those that come alone, the first as well as the last."""
    counts: Counter[float] = Counter()
    rounds, rows, most = 1000, 100, 10
    rng = Random(batch)
    for _ in range(rounds):
        draw = Draw(most, rng=rng)
        for start in range(0, rows, batch):
            put(draw, *asked(*range(start, min(start + batch, rows))))
        found = drawn(draw)
        assert len(set(found)) == most
        counts.update(found)
    expected = rounds * most / rows
    # Chi-square with 99 degrees: below 149 in 999 of 1,000 cases.
    statistic = sum((counts[row] - expected) ** 2 / expected for row in range(rows))
    assert statistic < 149


def test_large_rows_are_drawn_more_thinly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is bounded in bytes; a request is counted once, however many of its rows."""
    monkeypatch.setattr(profile, "MOST_BYTES", 100)
    draw = Draw(1000)
    for value in range(500):
        put(draw, *asked(value, value))
    rows, seen = draw.take(1000)
    assert seen == 1000
    assert 20 <= len(rows) <= 26
    put(draw, *asked(*range(400)))
    assert draw.seen == 400


async def test_what_is_answered_is_drawn_and_probes_are_not() -> None:
    """Whatever answered it; what fails has no answer to look at."""
    draw = Draw(10)
    kept = 0

    async def answer(request: InferRequest) -> InferResponse:
        if request.id == "bad":
            raise ValueError(request.id)
        return InferResponse(request.inputs)

    stage = Profile(answer, draw=draw)
    for id_, probe in (("good", False), ("probe", True), ("bad", False)):
        request = InferRequest("m", asked(1)[0], id=id_)
        request.trace.probe = probe
        if id_ == "bad":
            with pytest.raises(ValueError, match="bad"):
                await stage(request)
        else:
            await stage(request)
        kept += 1
    rows, seen = draw.take(10)
    assert (kept, len(rows), seen) == (3, 1, 2)


def test_a_place_belongs_to_the_row_that_took_it_last() -> None:
    """However late the answers come; one behind the look is in the next one."""
    draw = Draw(1, rng=Random(3))
    draw.seen += 1
    first = draw.reserve(*asked(0)[:1], 1)
    draw.seen = draw.next + 1
    second = draw.reserve(*asked(1)[:1], 1)
    draw.fill(second, *asked(1))
    draw.fill(first, *asked(0))
    assert drawn(draw) == [1]
    draw.seen += 1
    late = draw.reserve(*asked(5)[:1], 1)
    assert draw.take(10) == ([], 1)
    draw.fill(late, *asked(5))
    assert drawn(draw) == [5]


def test_rows_of_many_requests_are_columns() -> None:
    """Numbers, texts, and the highest score; what a client asked otherwise is left out."""
    draw = Draw(10)
    for value in range(4):
        inputs = (
            Tensor.of("x", np.asarray([[value, 2 * value]], np.float32)),
            Tensor.of("t", np.asarray([f"word{value}"])),
        )
        scores = np.asarray([[0.2, 0.8]], np.float32)
        outputs = (Tensor.of("p", scores),) if value else ()
        put(draw, inputs, InferResponse(outputs))
    (found,) = features_drawn(draw.take(10)[0])
    assert found is not None
    assert found.rows == 3
    assert found.numbers["x[1]"].tolist() == [2, 4, 6]
    assert found.texts == {"t": ["word1", "word2", "word3"]}
    assert found.numbers["t.length"].tolist() == [5, 5, 5]
    assert found.numbers["p.class"].tolist() == [1, 1, 1]
    assert found.confidence is not None
    assert found.confidence.tolist() == pytest.approx([0.8] * 3)


def test_what_has_no_rows_is_not_read() -> None:
    """A model without a dimension of rows."""
    draw = Draw(10)
    put(draw, (Tensor.of("x", np.asarray(1, np.float32)),), InferResponse(()))
    assert list(features_drawn(draw.take(10)[0])) == [None]
    assert list(features_drawn([])) == []


def test_large_rows_are_read_piece_by_piece() -> None:
    """So that the event loop is never kept for long; together they are all rows."""
    draw = Draw(100)
    for value in range(70):
        picture = np.full((1, 3, 64, 64), value, np.float32)
        put(draw, (Tensor.of("x", picture),), InferResponse(()))
    pieces = [piece for piece in features_drawn(draw.take(10)[0]) if piece is not None]
    assert len(pieces) == 14
    means = [mean for piece in pieces for mean in piece.numbers["x.mean"].tolist()]
    assert means == list(range(70))
