# SPDX-License-Identifier: Apache-2.0
"""One run of what several processes counted."""

from gateway.lab.load.histogram import Histogram
from gateway.lab.load.merge import merged
from gateway.lab.load.recorder import Tally
from gateway.lab.load.run import Health, Plan, Second
from gateway.lab.load.share import part


def second(number: int, *seconds: float) -> Second:
    """A second with these response times."""
    response = Histogram()
    for each in seconds:
        response.record_seconds(each)
    return Second(second=number, offered=len(seconds), response=response)


def test_percentiles_of_a_second_are_of_all_processes() -> None:
    """And what was answered after the window stands in no second of it."""
    tally = Tally(
        offered=5, ok=4, duplicates=1, timeline={1: second(1, 0.2), 0: second(0, 0.1)},
        digests={"a": 1, "b": 3}, backends={"w": 4},
    )  # fmt: skip
    tally.add(Tally(timeline={0: second(0, 0.3, 0.3), 2: Second(second=2, answered=1)}))

    run = merged(
        Plan(url="", model=""), tally, [Health()], seconds=2.0, started=7.0, warmup=1.0, rows=3
    )

    assert [each.second for each in run.timeline] == [0, 1]
    assert [each.offered for each in run.timeline] == [3, 1]
    assert round(run.timeline[0].p50, 3) == 0.3
    assert run.duplicates == 0.2
    assert run.rows == 12
    assert run.environment.model_digest == "b"
    assert run.environment.backends == {"w": 4}


def test_parts_are_the_whole() -> None:
    """Connections and requests in flight are split without rest."""
    for whole in (1, 7, 64):
        for shares in (1, 2, 5):
            parts = [part(whole, share, shares) for share in range(shares)]
            assert sum(parts) == whole
            assert max(parts) - min(parts) <= 1
