# SPDX-License-Identifier: Apache-2.0
"""Recorder: notes become samples, and nothing is lost without being counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sampling.meaning import Meaning
from gateway.sampling.note import Pair
from gateway.sampling.recorder import LONGEST_ID, MOST_BYTES, MOST_PAIRS, MOST_ROWS
from gateway.sampling.slices import Slices, Tag
from gateway.sampling.target import Witness
from gateway.telemetry import Telemetry
from gateway.wire.message import InferResponse, Trace
from gateway.wire.samples import CACHED, FULL, Lost, Samples
from gateway.wire.tensor import Tensor
from tests.support.edge import model
from tests.support.notes import answer, members, note, outputs, reader, recorder

A, B, C = (0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.0, 0.25, 0.75)


def only(found: list[Samples]) -> Samples:
    """The one batch of samples."""
    (each,) = found
    return each


def test_an_answer_of_several_rows_is_as_many_predictions() -> None:
    """Row i of a batch is (id, i), with everything that the request said."""
    slices = Slices([Tag("region", header="x-region")])
    place = slices.place({"x-region": "eu"}, None)
    made = recorder(slices=slices)
    made.put(note(answer(A, B), "b", rows=2, tenant="t", slice=place, pi=0.25, time=7.0))
    made.put(note(answer(C), "c", age=1.5, endpoint=""))

    found = only(made.take(10))

    assert found.ids == ["b", "b", "c"]
    assert found.rows.tolist() == [0, 1, 0]
    assert found.times.tolist() == [7.0, 7.0, 1.0]
    assert found.predicted.tolist() == [0, 1, 2]
    assert found.pi.tolist() == [0.25, 0.25, 1.0]
    assert [found.endpoints[at] for at in found.endpoint] == ["m-0", "m-0", ""]
    assert [found.tenants[at] for at in found.tenant] == ["t", "t", ""]
    assert [found.slices[at] for at in found.slice] == [{"region": "eu"}] * 2 + [{}]
    assert found.flags.tolist() == [0, 0, CACHED]
    assert (found.model, found.name, found.role) == ("m", "m", "live")
    assert (found.digest, found.version) == ("d" * 64, "1")
    assert found.scores is not None
    assert found.scores.tolist()[2] == [0, round(0.25 * FULL), round(0.75 * FULL)]
    assert found.columns is None
    assert found.labels is None


@given(st.lists(st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=4), min_size=1))
def test_rows_of_merged_requests_are_found_in_their_batch(batches: list[list[Any]]) -> None:
    """Whichever of them are noted, and in whatever order the batches come."""
    made = recorder()
    expected = []
    for number, rows in enumerate(batches):
        for row, response in enumerate(members(*rows)):
            if (number + row) % 3:
                made.put(note(response, f"{number}.{row}"))
                expected.append((f"{number}.{row}", int(np.argmax(rows[row]))))
        made.put(note(answer(B), f"{number}"))
        expected.append((f"{number}", 1))

    found = only(made.take(1000))

    assert list(zip(found.ids, found.predicted.tolist(), strict=True)) == expected


def test_one_model_file_and_role_at_a_time() -> None:
    """What was answered by another file, by a candidate or for a probe is apart."""
    made = recorder()
    made.put(note(answer(A), "old", digest="0" * 64))
    made.put(note(answer(A), "live"))
    made.put(note(answer(A), "candidate", trace=Trace(digest="1" * 64, stand_in="n")))
    made.put(note(answer(A), "probe", trace=Trace(digest="d" * 64, probe=True)))

    found = {(each.role, each.name, each.digest[0]): each.ids for each in made.take(10)}

    assert found == {
        ("live", "m", "0"): ["old"], ("live", "m", "d"): ["live"],
        ("candidate", "n", "1"): ["candidate"], ("probe", "m", "d"): ["probe"],
    }  # fmt: skip


def test_what_a_batch_has_learned_counts() -> None:
    """Endpoint and digest are those of the merged request."""
    made = recorder()
    far = Trace(endpoint="m-7", digest="7" * 64)
    made.put(note(answer(A), trace=Trace(digest="d" * 64, far=far)))

    found = only(made.take(1))
    assert (found.endpoints, found.digest) == (["m-7"], "7" * 64)


def test_labels_travel_with_their_rows() -> None:
    """Rows without one have none."""
    made = recorder()
    made.put(note(answer(A, B), rows=2, labels=("0", None)))
    made.put(note(answer(A)))

    assert only(made.take(10)).labels == ["0", None, None]


def test_equal_questions_have_equal_digests() -> None:
    """By row where there is a key for each, and never the same for two rows of one key."""
    one, other = bytes(range(16)), bytes(range(16, 32))
    made = recorder()
    made.put(note(answer(A), key=one))
    made.put(note(answer(A, A), rows=2, key=one + other))
    made.put(note(answer(A, A), rows=2, key=one))
    made.put(note(answer(A)))

    question = only(made.take(10)).question.tolist()

    assert question[0] == question[1] == question[3] == int.from_bytes(one[:8], "little")
    assert question[2] == int.from_bytes(other[:8], "little")
    assert question[4] not in {*question[:4], 0}
    assert question[5] == 0

    alone = recorder()
    alone.put(note(answer(A), key=one))
    assert only(alone.take(1)).question.tolist() == question[:1]


def test_of_many_classes_the_most_probable_are_kept() -> None:
    """With their places, the most probable first."""
    info = model(outputs=[("p", "FP32", (-1, 100))])
    made = recorder(reader=reader(info, Meaning(names=tuple(map(str, range(100))))))
    scores = np.zeros((1, 100), np.float32)
    scores[0, [7, 42]] = 0.25, 0.75
    made.put(note(InferResponse((Tensor.of("p", scores),), version="1")))

    found = only(made.take(1))

    assert found.columns is not None
    assert found.scores is not None
    assert found.columns[0, :2].tolist() == [42, 7]
    assert found.scores[0, :3].tolist() == [round(0.75 * FULL), round(0.25 * FULL), 0]
    assert found.columns.shape == (1, 16)


def test_a_model_without_batches_gives_one_row() -> None:
    """Whatever its shapes look like."""
    info = model(outputs=[("p", "FP32", (3,))], batched=False)
    made = recorder(reader=reader(info))
    made.put(note(InferResponse((Tensor.of("p", np.asarray(A, np.float32)),), version="1")))

    assert only(made.take(1)).predicted.tolist() == [0]


def test_words_and_odd_floats_are_read() -> None:
    """BYTES have no rows of one size, and BF16 no type in numpy."""
    info = model(outputs=[("c", "BYTES", (-1, 1)), ("p", "BF16", (-1, 3))])
    made = recorder(reader=reader(info, Meaning(names=("a", "b", "c"))))
    for word in ("c", "a"):
        halves = (np.asarray([A], np.float32).view(np.uint32) >> 16).astype(np.uint16)
        said = (
            Tensor.of("c", np.asarray([[word]], object)),
            Tensor.of("p", halves, datatype="BF16"),
        )
        made.put(note(InferResponse(said, version="1")))

    found = only(made.take(2))

    assert found.predicted.tolist() == [2, 0]
    assert found.probabilities is not None
    assert found.probabilities[0] == pytest.approx(A, abs=4e-3)


def lost(telemetry: Telemetry) -> dict[str, float]:
    """What was counted as lost, by reason."""
    return {key[1]: cell.value for key, cell in telemetry.sampling.samples_lost.cells.items()}


@pytest.mark.parametrize(
    ("response", "rows", "reason"),
    [
        (InferResponse(outputs(A)[:0], version="1"), 1, "not_asked"),
        (answer(A), 2, "unreadable"),
    ],
)
def test_what_cannot_be_read_is_counted(response: InferResponse, rows: int, reason: str) -> None:
    """And keeps nothing else from being read."""
    telemetry = Telemetry(["m"])
    made = recorder(telemetry)
    made.put(note(response, "bad", rows=rows))
    made.put(note(answer(A, B, C), "good", rows=3, digest="0" * 64))

    assert only(made.take(10)).ids == ["good"] * 3
    assert lost(telemetry) == {reason: rows}
    assert made.take_lost() == Lost("m", {reason: rows})
    assert made.take_lost() is None


def test_numbers_that_are_none_are_lost() -> None:
    """One of them would make every mean one."""
    telemetry = Telemetry(["m"])
    info = model(outputs=[("y", "FP32", (-1, 1))])
    made = recorder(telemetry, reader=reader(info, Meaning(task="regression")))
    made.put(note(InferResponse((Tensor.of("y", np.asarray([[np.nan]], "f4")),), version="1")))

    assert made.take(10) == []
    assert lost(telemetry) == {"not_finite": 1}


def test_what_waits_is_bounded() -> None:
    """In rows and in bytes; the newest are dropped, and the rest is handed over."""
    telemetry = Telemetry(["m"])
    made = recorder(telemetry)
    made.put(note(answer(A), rows=MOST_ROWS))
    made.put(note(answer(A), "dropped"))
    assert lost(telemetry) == {"queue": 1}

    large = InferResponse((Tensor("x", "UINT8", (1, MOST_BYTES), bytes(MOST_BYTES)),))
    made = recorder(telemetry)
    made.put(note(large))
    made.put(note(answer(A), "dropped"))
    assert lost(telemetry) == {"queue": 2}


def test_there_is_room_again_when_all_was_taken() -> None:
    """Bounds are about what waits, not about what has been."""
    made = recorder()
    for _ in range(3):
        made.put(note(answer(*[A] * 5), rows=5))
    assert len(only(made.take(2))) == 10
    assert made.rows == 5
    assert len(only(made.take(2))) == 5
    assert (made.rows, made.bytes, bool(made)) == (0, 0, False)


def test_an_id_that_is_none_is_lost() -> None:
    """A megabyte of text would travel with each row."""
    telemetry = Telemetry(["m"])
    made = recorder(telemetry)
    made.put(note(answer(A), "x" * (LONGEST_ID + 1)))
    made.put(note(answer(A), "x" * LONGEST_ID))

    assert len(only(made.take(10))) == 1
    assert lost(telemetry) == {"long_id": 1}


def test_large_batches_are_read_a_few_at_a_time() -> None:
    """The event loop has other things to do in between."""
    made = recorder()
    for id_ in "abc":
        made.put(note(answer(*[A] * 3000), id_, rows=3000))

    assert [len(only(made.take(10))) for _ in range(2)] == [6000, 3000]
    assert (made.rows, made.notes) == (0, [])


def test_pairs_that_nobody_takes_are_bounded() -> None:
    """As notes are."""
    telemetry = Telemetry(["m"])
    made = recorder(telemetry)
    witness = Witness("n", reader(), lambda *_: None)
    pair = Pair(note(answer(A)), note(answer(A)))
    for _ in range(MOST_PAIRS + 2):
        made.put_pair(witness, pair)

    assert made.pairs == MOST_PAIRS
    assert lost(telemetry) == {"queue": 2}


def test_a_shadow_stands_beside_what_was_answered() -> None:
    """With the largest difference of a probability."""
    made = recorder()
    learned = []
    witness = Witness("n", reader(), lambda live, shadow: learned.append((live, shadow)))
    for id_, live, shadow in (("a", (A, B), (A, C)), ("b", (C,), (C,))):
        rows = len(live)
        made.put_pair(witness, Pair(
            note(answer(*live), id_, rows=rows, age=3.0),
            note(answer(*shadow), id_, rows=rows, digest="5" * 64, endpoint="n-0", pi=0.5),
        ))  # fmt: skip

    found = only(made.take_pairs(10))

    assert (found.model, found.name, found.role) == ("m", "n", "shadow")
    assert (found.digest, found.live_digest) == ("5" * 64, "d" * 64)
    assert found.ids == ["a", "a", "b"]
    assert found.predicted.tolist() == [0, 2, 2]
    assert found.live is not None
    assert found.live.tolist() == [0, 1, 2]
    assert found.distance is not None
    assert found.distance == pytest.approx([0, 0.65, 0], abs=1e-6)
    assert found.pi.tolist() == [0.5] * 3
    assert found.endpoints == ["n-0"]
    assert [each.tolist() for each in learned[0]] == [[0, 1, 2], [0, 2, 2]]


def test_a_pair_of_which_one_cannot_be_read_is_none() -> None:
    """The others keep their partners."""
    made = recorder()
    witness = Witness("n", reader(), lambda *_: None)
    broken = InferResponse((), version="1")
    for id_, live, shadow in (
        ("a", answer(A), answer(C)), ("b", answer(B), broken), ("c", broken, answer(A)),
        ("d", answer(B), answer(B)),
    ):  # fmt: skip
        made.put_pair(witness, Pair(note(live, id_), note(shadow, id_)))

    found = only(made.take_pairs(10))

    assert found.ids == ["a", "d"]
    assert found.live is not None
    assert (found.live.tolist(), found.predicted.tolist()) == ([0, 1], [2, 1])


def test_regressions_differ_by_their_values() -> None:
    """The distance is in the unit of the value."""
    info = model(outputs=[("y", "FP32", (-1, 1))])
    same = reader(info, Meaning(task="regression"))
    made = recorder(reader=same)
    one, other = (
        InferResponse((Tensor.of("y", np.asarray([[value]], "f4")),), version="1")
        for value in (1.5, 4.0)
    )
    made.put_pair(Witness("n", same, lambda *_: None), Pair(note(one), note(other)))

    found = only(made.take_pairs(1))
    assert found.distance is not None
    assert found.distance.tolist() == [2.5]
    assert found.predicted.tolist() == [4.0]
