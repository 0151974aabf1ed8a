# SPDX-License-Identifier: Apache-2.0
"""What becomes of requests is counted by intended send, inside the window alone."""

import msgspec
import pytest

from gateway.lab.load.histogram import Histogram
from gateway.lab.load.recorder import CODES, OK, TIMEOUT, Recorder, Tally, pack, unpack
from gateway.lab.load.run import Timing

MS = 1_000_000
SECOND = 1_000 * MS


@pytest.fixture
def recorder() -> Recorder:
    """With a window from 10 s to 13 s."""
    made = Recorder()
    made.begin, made.end = 10 * SECOND, 13 * SECOND
    return made


def at(
    seconds: float, *, lag: float = 0, wait: float = 0, took: float = 2, code: int = OK
) -> tuple[int, int, int, int, int]:
    """A request due at *seconds*; the rest in milliseconds, one after the other."""
    due = round(seconds * SECOND)
    taken = due + round(lag * MS)
    sent = taken + round(wait * MS)
    return due, taken, sent, sent + round(took * MS), code


def test_the_window_is_by_intended_send(recorder: Recorder) -> None:
    """What was due before it or after it is not counted, whenever it was answered."""
    for due in (9.999, 10.0, 12.999, 13.0):
        recorder.row(at(due, took=100))

    recorder.fold()

    assert recorder.tally.offered == recorder.tally.ok == 2
    # The answer to what was due before the window came in it, that of the last one after it.
    assert {key: each.answered for key, each in recorder.tally.timeline.items()} == {0: 2, 2: 0}


def test_each_duration_begins_where_it_says(recorder: Recorder) -> None:
    """Lag to being taken up, wait to being sent, service from there, response from the start."""
    recorder.row(at(10.5, lag=1, wait=4, took=20))

    recorder.fold()

    tally = recorder.tally
    assert tally.lag.maximum == pytest.approx(0.001)
    assert tally.waited.maximum == pytest.approx(0.004)
    assert tally.service.maximum == pytest.approx(0.020)
    assert tally.response.maximum == pytest.approx(0.025)


def test_errors_are_counted_by_kind_and_timeouts_stay_in_the_percentiles(
    recorder: Recorder,
) -> None:
    """A shed request is quick and no success: it must not flatter the response time."""
    recorder.row(at(10.1))
    recorder.row(at(10.2, took=1000, code=TIMEOUT))
    recorder.row(at(11.2, took=0.1, code=CODES["shed"]))
    recorder.row((11 * SECOND, 11 * SECOND, 0, 12 * SECOND, TIMEOUT))

    recorder.fold()

    tally = recorder.tally
    assert tally.errors == {"timeout": 2, "shed": 1}
    assert (tally.offered, tally.sent, tally.answered, tally.ok) == (4, 3, 2, 1)
    assert len(tally.response) == 3
    assert len(tally.failed) == 1
    assert tally.response.maximum == pytest.approx(1.0)
    assert [tally.timeline[second].errors for second in (0, 1)] == [1, 2]


def test_recent_is_what_came_since() -> None:
    """Also before there is a window: a warm-up is watched by it."""
    recorder = Recorder()
    recorder.row(at(1.0, took=5))
    recorder.fold()

    assert len(recorder.recent()) == 1
    assert len(recorder.recent()) == 0
    assert recorder.tally.offered == 0


def test_tallies_merge_as_if_one_had_counted_all() -> None:
    """On their way between processes, too."""
    whole = Recorder()
    parts = [Recorder(), Recorder()]
    for number in range(100):
        row = at(10 + number / 30, lag=number / 50, code=number % 4)
        for recorder in (whole, parts[number % 2]):
            recorder.begin, recorder.end = 10 * SECOND, 13 * SECOND
            recorder.row(row)
            recorder.tally.server_timing["infer"] = Timing(seconds=1.0, count=2)
    for recorder in (whole, *parts):
        recorder.fold()
        recorder.tally.statuses["200"] = 4

    merged = Tally()
    for part in parts:
        data = msgspec.msgpack.encode(part.tally, enc_hook=pack)
        merged.add(msgspec.msgpack.decode(data, type=Tally, dec_hook=unpack))

    assert merged.server_timing == {"infer": Timing(seconds=2.0, count=4)}
    assert merged.statuses == {"200": 8}
    for name in ("offered", "ok", "errors", "response", "lag", "timeline", "failed"):
        assert getattr(merged, name) == getattr(whole.tally, name), name


def test_a_packed_histogram_keeps_its_extremes() -> None:
    """Not those of its bins."""
    histogram = Histogram()
    histogram.record_seconds(1.2345678)

    again = Histogram.unpack(histogram.pack())

    assert again == histogram
    assert again.maximum == histogram.maximum == 1.2345678
