# SPDX-License-Identifier: Apache-2.0
"""Search: what is tried next, by Optuna, over measured runs.

One goal: the highest throughput within the objective. Latency and memory are constraints, accuracy
is a gate. The tree-structured Parzen estimator needs few runs; it starts where experience says, and
takes turns with neighbours of the best. What it proposes a second time is not measured again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.lab import LabError
from gateway.lab.quantize.source import needed
from gateway.lab.tune.measured import Bench, Measured, Objective, Trial
from gateway.lab.tune.setting import LAYOUT, Setting, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

# Before so many are measured nothing is given up for being below their median.
_UNPRUNED: Final = 4
# The first window is at half of the capacity, where all good settings look alike.
_UNPRUNED_WINDOWS: Final = 1
_MEASURED: Final = "measured"
_ABOUT: Final = "about"


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be tried: *trials* measured settings, within *seconds*."""

    trials: int = 40
    seconds: float = 900.0


class Search:
    """A search that goes on where it stopped: *journal* keeps every trial, None keeps none.

    *about* is what the trials depend on (the model, the data, the objective, the machine): a
    journal about something else is refused with a LabError.
    """

    def __init__(
        self, space: Space, start: Setting, objective: Objective, *,
        journal: Path | None = None, about: dict[str, str] | None = None, seed: int = 1,
        clock: Callable[[], float] = monotonic,
    ) -> None:  # fmt: skip
        self._space = space.including(start)
        self._start = start
        self._objective = objective
        self._random = Random(seed)
        self._clock = clock
        self._optuna = needed("optuna", purpose="tune")
        with _calm(self._optuna):
            self._study = self._open(journal, seed)
            self._claim(journal, about or {})
            self.trials = self._remembered()
            if not self.trials:
                for each in self._space.seeds(start):
                    self._enqueue(each)

    def __repr__(self) -> str:
        return f"<Search {len(self.trials)} of {self._space.size} settings tried>"

    @property
    def space(self) -> Space:
        """What may be tried, with the start in it."""
        return self._space

    @property
    def start(self) -> Setting:
        """What the others are held to."""
        return self._start

    def run(
        self, bench: Bench, budget: Budget, done: Callable[[Trial], None] | None = None
    ) -> list[Trial]:
        """Try settings until *budget* is used up; gives all trials, those of before too.

        *done* hears of each. What was measured is kept where something ends it half-way.
        """
        began = self._clock()
        with _calm(self._optuna):
            while len(self.trials) < min(budget.trials, self._space.size):
                if self._clock() - began >= budget.seconds:
                    break
                trial = self._next(bench)
                self.trials.append(trial)
                if done is not None:
                    done(trial)
        return self.trials

    def _next(self, bench: Bench) -> Trial:
        guess = self._guess()
        if guess is not None:
            self._enqueue(guess)
        while True:
            asked = self._study.ask(self._distributions())
            setting = self._space.setting(
                {name: int(asked.params[name]) for name in self._space.choices()}
            )
            known = self._known(setting)
            if known is None:
                break
            # The estimator is told what it knows; a neighbour is tried in place of it.
            self._tell(asked, known)
            self._enqueue(self._untried(setting))

        def report(step: int, goodput: float) -> bool:
            asked.report(goodput, step)
            return not asked.should_prune()

        try:
            measured = bench.measure(setting, report)
        except BaseException:
            self._study.tell(asked, state=self._optuna.trial.TrialState.FAIL)
            raise
        self._tell(asked, measured)
        return Trial(number=len(self.trials), setting=setting, measured=measured)

    def _guess(self) -> Setting | None:
        """What is tried in place of the estimator's proposal, or None for that.

        After the seeds all that helped together, and then, every second time, a neighbour of the
        best: the estimator looks far, and most knobs act alone.
        """
        seeds = len(self._space.seeds(self._start))
        count = len(self.trials)
        if count < seeds:
            return None
        if count == seeds:
            together = self._together()
            return together if self._known(together) is None else None
        best = self.best()
        if best is None or (count - seeds) % 2:
            return None
        return self._untried(best.setting)

    def _together(self) -> Setting:
        """The start with every change that alone made it quicker, the best of each kind."""
        made = self._start
        before = self._known(self._start)
        least = 0.0 if before is None else before.throughput
        ranked = sorted(self.trials, key=lambda one: one.measured.throughput)
        for one in ranked:
            if one.measured.refused is None and one.measured.throughput > least:
                changed = one.setting.changed(self._start)
                if any(name in LAYOUT for name in changed):
                    changed = [*changed, *LAYOUT]
                made = made.put(**{name: getattr(one.setting, name) for name in changed})
        return made

    def best(self) -> Trial | None:
        """The highest throughput that meets the objective, or None."""
        good = [one for one in self.trials if one.measured.feasible(self._objective)]
        return max(good, key=lambda one: one.measured.throughput, default=None)

    def _known(self, setting: Setting) -> Measured | None:
        return next((one.measured for one in self.trials if one.setting == setting), None)

    def _untried(self, setting: Setting) -> Setting:
        """A neighbour of *setting*, or else any setting, that was not tried."""
        tried = {one.setting for one in self.trials}
        near = [one for one in self._space.neighbours(setting) if one not in tried]
        if near:
            return self._random.choice(near)
        sizes = {name: len(values) for name, values in self._space.choices().items()}
        while True:
            made = self._space.setting(
                {name: self._random.randrange(size) for name, size in sizes.items()}
            )
            if made not in tried:
                return made

    def _enqueue(self, setting: Setting) -> None:
        places = self._space.places(setting)
        if places is not None:
            self._study.enqueue_trial(places)

    def _tell(self, asked: Any, measured: Measured) -> None:  # noqa: ANN401 - Optuna's Trial
        asked.set_user_attr(_MEASURED, msgspec.json.encode(measured).decode())
        # What breaks a constraint is worth what it does all the same: Optuna ranks it below.
        self._study.tell(asked, measured.throughput)

    def _distributions(self) -> dict[str, Any]:
        categorical = self._optuna.distributions.CategoricalDistribution
        return {
            name: categorical(list(range(len(values))))
            for name, values in self._space.choices().items()
        }

    def _open(self, journal: Path | None, seed: int) -> Study:
        storage = None
        if journal is not None:
            backend = self._optuna.storages.journal.JournalFileBackend(str(journal))
            storage = self._optuna.storages.JournalStorage(backend)
        sampler = self._optuna.samplers.TPESampler(
            seed=seed,
            multivariate=True,
            n_startup_trials=len(self._space.seeds(self._start)),
            constraints_func=self._constraints,
        )
        pruner = self._optuna.pruners.MedianPruner(
            n_startup_trials=_UNPRUNED, n_warmup_steps=_UNPRUNED_WINDOWS
        )
        study: Study = self._optuna.create_study(
            study_name="infergate",
            storage=storage,
            sampler=sampler,
            pruner=pruner,
            direction="maximize",
            load_if_exists=True,
        )
        return study

    def _constraints(self, trial: FrozenTrial) -> tuple[float, float, float]:
        """Each is met at 0 or below."""
        text = trial.user_attrs.get(_MEASURED)
        if text is None:
            return (1.0, 1.0, 1.0)
        measured = msgspec.json.decode(text, type=Measured)
        most = self._objective.memory
        return (
            0.0 if measured.refused is None and measured.failed is None else 1.0,
            max(measured.latency / self._objective.slo.within - 1, 0.01)
            if measured.throughput == 0
            else 0.0,
            0.0 if most is None else measured.memory / most - 1,
        )

    def _claim(self, journal: Path | None, about: dict[str, str]) -> None:
        mine = about | {"space": msgspec.json.encode(self._space).decode()}
        theirs = self._study.user_attrs.get(_ABOUT)
        if theirs is None:
            self._study.set_user_attr(_ABOUT, mine)
            return
        for name, value in mine.items():
            if theirs.get(name) != value:
                raise LabError(
                    f"{journal}: its trials are of another {name}; remove it to begin anew"
                )

    def _remembered(self) -> list[Trial]:
        """The trials of before; what ended half-way then is given up."""
        state = self._optuna.trial.TrialState
        found: list[Trial] = []
        for one in self._study.trials:
            text = one.user_attrs.get(_MEASURED)
            if one.state == state.RUNNING:
                self._study.tell(one.number, state=state.FAIL)
            if text is None or one.state not in {state.COMPLETE, state.PRUNED}:
                continue
            setting = self._space.setting({name: int(at) for name, at in one.params.items()})
            if all(each.setting != setting for each in found):
                measured = msgspec.json.decode(text, type=Measured)
                found.append(Trial(number=len(found), setting=setting, measured=measured))
        return found


@contextmanager
def _calm(optuna: Any) -> Iterator[None]:  # noqa: ANN401 - a module
    """Without a line for every trial, and without warnings of what Optuna may change."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)
