# SPDX-License-Identifier: Apache-2.0
"""A search finds what is good with few tries, and goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lab import LabError
from gateway.lab.tune.measured import Measured, Objective, Report, Trial
from gateway.lab.tune.search import Budget, Search
from gateway.lab.tune.setting import Setting, Space
from tests.support.tuning import OBJECTIVE, MadeUpBench

SMALL = Space(
    layouts=((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2)),
    precision=("fp32", "int8-static"),
    max_rows=(64, 1, 8),
    optimization=("all",),
    arena=(True,),
    max_concurrency=("auto",),
)


def _search(space: Space = SMALL, **options: object) -> Search:
    return Search(space, Setting(), OBJECTIVE, **options)  # type: ignore[arg-type]


def _best(trials: list[Trial]) -> Trial:
    return max(trials, key=lambda one: one.measured.throughput)


@pytest.mark.parametrize("seed", range(8))
def test_a_quarter_of_the_grid_finds_the_best_of_all(seed: int) -> None:
    """Of 48 settings 12 are tried; the best is the best there is."""
    bench = MadeUpBench()
    trials = _search(seed=seed).run(bench, Budget(trials=SMALL.size // 4))

    best = max(bench.truth(each) for each in SMALL.grid())
    assert len(trials) == len(bench.tried) == 12
    assert bench.truth(_best(trials).setting) >= 0.999 * best


def test_what_helped_alone_is_tried_together() -> None:
    """After the seeds: the best layout with the best precision."""
    bench = MadeUpBench()
    _search().run(bench, Budget(trials=5))

    assert bench.tried[4] == Setting(replicas=2, precision="int8-static")


def test_nothing_is_tried_twice() -> None:
    """What the estimator proposes again is answered from memory, and a neighbour tried."""
    bench = MadeUpBench()
    trials = _search().run(bench, Budget(trials=SMALL.size))

    assert len(trials) == SMALL.size
    assert len(set(bench.tried)) == SMALL.size


def test_the_first_ones_are_the_start_and_the_seeds() -> None:
    """The start is measured in any case."""
    bench = MadeUpBench()
    _search().run(bench, Budget(trials=4))

    assert bench.tried == SMALL.seeds(Setting())


def test_what_falls_behind_is_given_up() -> None:
    """Below the median of the same window, once there are enough to tell."""
    bench = MadeUpBench()
    trials = _search().run(bench, Budget(trials=24))

    assert bench.stopped > 0
    assert bench.stopped == sum(one.measured.pruned for one in trials)
    assert not any(one.measured.pruned for one in trials[:4])


def test_time_ends_a_search() -> None:
    """Between two tries."""
    now = iter(range(100))
    trials = _search(clock=lambda: float(next(now))).run(MadeUpBench(), Budget(seconds=5))

    assert 1 <= len(trials) <= 6


def test_a_refused_precision_is_not_the_best(tmp_path: Path) -> None:
    """However quick it would be; and it is not insisted on."""
    bench = MadeUpBench(refuse="int8-static")
    trials = _search().run(bench, Budget(trials=16))

    assert _best(trials).setting.precision == "fp32"
    assert sum(one.setting.precision == "int8-static" for one in trials) <= 10


def test_memory_is_a_constraint() -> None:
    """Two replicas take more than is allowed: feasible is only what stays below."""
    objective = Objective(slo=OBJECTIVE.slo, memory=100 << 20)
    trials = Search(SMALL, Setting(), objective).run(MadeUpBench(), Budget(trials=12))

    assert any(one.setting.replicas == 2 for one in trials)
    good = [one.setting for one in trials if one.measured.feasible(objective)]
    assert good
    assert all(one.replicas == 1 for one in good)


class _Interrupted(MadeUpBench):
    """Ctrl-C comes in the middle of the sixth try."""

    def measure(self, setting: Setting, report: Report | None = None) -> Measured:
        """As before, five times."""
        if len(self.tried) == 5:
            raise KeyboardInterrupt
        return super().measure(setting, report)


def test_a_search_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """The five tries of before are not tried again."""
    journal = tmp_path / "journal.log"
    first, second = _Interrupted(), MadeUpBench()
    with pytest.raises(KeyboardInterrupt):
        _search(journal=journal, about={"model": "a"}).run(first, Budget(trials=12))

    again = _search(journal=journal, about={"model": "a"})
    kept = [one.setting for one in again.trials]
    trials = again.run(second, Budget(trials=12))

    assert kept == first.tried
    assert len(trials) == 12
    assert not set(second.tried) & set(first.tried)


def test_a_journal_of_something_else_is_refused(tmp_path: Path) -> None:
    """It says of what."""
    journal = tmp_path / "journal.log"
    _search(journal=journal, about={"model": "a", "data": "x"})

    with pytest.raises(LabError, match=r"journal.log: its trials are of another data; remove it"):
        _search(journal=journal, about={"model": "a", "data": "y"})
