# SPDX-License-Identifier: Apache-2.0
"""Live figures: the listener that counts predictions and labels of all models."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from gateway.quality.figures.group import RARELY, Group
from gateway.quality.figures.query import SERVED
from gateway.statistics.detector import Detector
from gateway.wire.samples import Samples

if TYPE_CHECKING:
    from gateway.quality.figures.spec import Spec
    from gateway.quality.joined import Joined

log: Final = logging.getLogger(__name__)

# Model files are told apart up to so many, over all models and roles; the one that has been silent
# longest makes room.
MOST_GROUPS: Final = 256
# The model under which rows count, their role, the model that answered, and the digest of its file.
Key: TypeAlias = tuple[str, str, str, str]
# Raised when what is kept changes its form; other forms are not read.
FORM: Final = 1
# Roles of answers that callers get: of the model, and of a candidate that stands in for it.
CALLERS: Final = ("live", "candidate")
# The figures whose target is watched by an alarm that holds however often one looks.
WATCHED: Final = ("accuracy", "subset_accuracy")


class LiveFigures:
    """Figures of the models in *specs*; rows of others are not counted.

    *clock* is wall-clock time. *notify* is told of alarms that begin and end: what happened, the
    model, and what to say of it.
    """

    def __init__(
        self,
        specs: Mapping[str, Spec],
        *,
        clock: Callable[[], float] = time.time,
        notify: Callable[[str, str, dict[str, Any]], None] | None = None,
        most: int = MOST_GROUPS,
    ) -> None:
        self.specs = dict(specs)
        self.groups: dict[Key, Group] = {}
        self.forgotten = 0
        self._clock = clock
        self._notify = notify
        self._most = most
        self._alarms: set[Key] = set()
        self._marks: dict[str, float] = {}
        self._detectors: dict[Key, Detector] = {}
        # What comes before `begin` waits for it; labels older than this start raise no alarm anew.
        self._held: list[Samples | Joined] | None = []
        self._started = clock()

    def __repr__(self) -> str:
        return f"<LiveFigures of {len(self.groups)} model files>"

    @property
    def now(self) -> float:
        """Wall-clock time."""
        return self._clock()

    @property
    def size(self) -> int:
        """What all tables take, in bytes."""
        return sum(group.size for group in self.groups.values())

    def configure(self, specs: Mapping[str, Spec]) -> None:
        """Take other specs; of a model whose classes have changed nothing old can be kept."""
        for key, group in list(self.groups.items()):
            spec = specs.get(key[0])
            if spec is None or spec.shape != group.spec.shape:
                del self.groups[key]
                self._alarms.discard(key)
                continue
            group.settle(self.now)
            if watched_target(spec) != watched_target(group.spec):
                group.detector = self._detector(key, spec)
            # Targets and levels are no part of the states.
            group.spec = spec
        self.specs = dict(specs)

    def predicted(self, samples: Samples) -> None:
        """Count predictions."""
        if self._held is not None:
            self._held.append(samples)
            return
        group = self._group((samples.model, samples.role, samples.name, samples.digest))
        if group is not None:
            group.predicted(samples, self.now)

    def joined(self, rows: Joined) -> None:
        """Count labelled rows, or take them back."""
        if self._held is not None:
            self._held.append(rows)
            return
        group = self._group((rows.model, rows.role, rows.name, rows.digest))
        if group is not None:
            group.joined(rows, self.now, watched_from=self._started)

    def _group(self, key: Key) -> Group | None:
        group = self.groups.get(key)
        if group is not None:
            return group
        spec = self.specs.get(key[0])
        if spec is None:
            return None
        if len(self.groups) >= self._most:
            silent = min(self.groups, key=lambda one: self.groups[one].last)
            del self.groups[silent]
            self._alarms.discard(silent)
            self.forgotten += 1
            log.warning("figures of %s are forgotten: more than %d model files",
                        "/".join(silent), self._most)  # fmt: skip
        group = self.groups[key] = Group(spec, detector=self._detector(key, spec))
        if key[1] in CALLERS and key[0] in self._marks:
            group.mark(self._marks[key[0]])
        return group

    def _detector(self, key: Key, spec: Spec) -> Detector | None:
        """What watches the answers that callers get, where wanted: as it was, or anew."""
        target = watched_target(spec)
        if key[1] not in CALLERS or target is None:
            return None
        kept = self._detectors.pop(key, None)
        if kept is not None and (kept.target, kept.threshold) == (target, RARELY):
            return kept
        self._alarms.discard(key)
        return Detector(target=target, rarely=RARELY)

    def settle(self) -> None:
        """Count all that waits, and tell of alarms that have begun or ended."""
        now = self.now
        for key, group in self.groups.items():
            group.settle(now)
            detector = group.detector
            if detector is None or detector.alarm == (key in self._alarms):
                continue
            self._alarms ^= {key}
            self._tell(key, group)

    def _tell(self, key: Key, group: Group) -> None:
        model, _, name, digest = key
        detector = group.detector
        if detector is None:
            return
        target = detector.target
        whose = f"'{model}'" if name == model else f"'{name}' in the place of '{model}'"
        if detector.alarm:
            said = (
                f"The accuracy of {whose} has fallen below its target of {target:.2%}: by a test "
                "that is wrong once a month at most, on average."
            )
            log.warning("%s", said)
        else:
            said = f"The accuracy of {whose} is at its target of {target:.2%} again."
            log.info("%s", said)
        if self._notify is not None:
            what = "accuracy_alarm" if detector.alarm else "accuracy_recovered"
            self._notify(what, model, {
                "name": name, "digest": digest, "target": target,
                "evidence": detector.evidence, "sentence": said,
            })  # fmt: skip

    def mark(self, model: str, instant: float) -> None:
        """Start to count rows of *model* from *instant* on as "since promotion"."""
        now = self.now
        self._marks[model] = instant
        for key, group in self.groups.items():
            if key[0] == model and key[1] in CALLERS:
                group.settle(now)
                group.mark(instant)

    def chosen(
        self, model: str, role: str, *, name: str | None = None, digest: str | None = None
    ) -> dict[Key, Group]:
        """The groups of *model* in *role*, narrowed to a *name* and a *digest* where given.

        Raises ValueError for a name or digest that is not there, and where there are several names
        and none was given.
        """
        roles = CALLERS if role == SERVED else (role,)
        mine = {
            key: group for key, group in self.groups.items() if key[0] == model and key[1] in roles
        }
        names = list(dict.fromkeys(key[2] for key in mine))
        if name is None and len(names) > 1 and role != SERVED:
            raise ValueError(f"several models are {role} of '{model}': say name={'|'.join(names)}")
        if name is not None and name not in names:
            there = ", ".join(names) or "none yet"
            raise ValueError(f"name '{name}': models that are {role} of '{model}' are {there}")
        mine = {key: group for key, group in mine.items() if name is None or key[2] == name}
        if digest is None:
            return mine
        found = {key: group for key, group in mine.items() if key[3].startswith(digest)}
        if not found:
            there = ", ".join(key[3] or "(none)" for key in mine) or "none yet"
            raise ValueError(f"digest '{digest}': those with predictions are {there}")
        return found

    def keep(self) -> bytes:
        """What replaying the ledger does not bring back: marks, and where alarms stand."""
        self.settle()
        watched = {key: group.detector for key, group in self.groups.items()}
        return msgspec.msgpack.encode({
            "form": FORM,
            "marks": self._marks,
            "alarms": [list(key) for key in self._alarms],
            "detectors": [
                [list(key), detector.pack()] for key, detector in watched.items() if detector
            ],
        })  # fmt: skip

    def begin(self, kept: bytes | None) -> None:
        """Count what has come so far, after taking in what an earlier life of this has kept.

        Raises ValueError for something else, and begins all the same.
        """
        held, self._held = self._held, None
        try:
            if kept is not None:
                self._restore(kept)
        finally:
            for told in held or ():
                if isinstance(told, Samples):
                    self.predicted(told)
                else:
                    self.joined(told)

    def _restore(self, kept: bytes) -> None:
        try:
            state = msgspec.msgpack.decode(kept)
            if state["form"] != FORM:
                raise ValueError(f"a state of form {state['form']}, not {FORM}")
            self._marks = {model: float(instant) for model, instant in state["marks"].items()}
            self._detectors = {
                (one[0], one[1], one[2], one[3]): Detector.unpack(detector)
                for one, detector in state["detectors"]
            }
            self._alarms = {(one[0], one[1], one[2], one[3]) for one in state["alarms"]}
        except (msgspec.DecodeError, KeyError, IndexError, TypeError) as error:
            raise ValueError(f"not a state of figures: {error}") from None


def watched_target(spec: Spec) -> float | None:
    """The accuracy that is wanted of a model and watched, None where none is."""
    wanted = next((spec.targets[name] for name in WATCHED if name in spec.targets), None)
    return wanted if wanted is not None and 0 < wanted < 1 else None
