# SPDX-License-Identifier: Apache-2.0
"""Reports of probes: what a round has found on each path, and what that means in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from gateway.quality.probes.golden import Change
from gateway.statistics.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

Outcome = Literal["first", "same", "moved", "wrong", "undecided", "failed"]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One path in one round: *path*, and for the direct one the *endpoint*.

    *change* is against the golden answers of the time *golden*; null where there were none before
    this round, or where *error* says why nobody answered. *digest* is that of the model file.
    *from_cache* counts rows that the cache answered, *by* the rows that flipped or moved by the
    endpoint that answered them. *figures* say how right the answers were, by the labels.
    *stranger*: the endpoint has another model file than it should have.
    """

    path: str
    endpoint: str = ""
    digest: str = ""
    rows: int = 0
    change: Change | None = None
    golden: float | None = None
    figures: dict[str, Estimate] = {}
    from_cache: int = 0
    by: dict[str, int] = {}
    error: str = ""
    stranger: bool = False

    @property
    def wrong(self) -> bool:
        """Its answers are not what they must be.

        Of a *stranger* a number that moved is enough: it is no noise then.
        """
        change = self.change
        return change is not None and (change.wrong or (self.stranger and bool(change.moved)))

    @property
    def name(self) -> str:
        """What people call it."""
        return self.endpoint or self.path


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One round over one set: *outcome* in one word, *sentence* in words, and the *series*.

    *started* is in seconds since the epoch. *ejected* and *returned* are endpoints whose state the
    round has changed, *spared* those that it would have ejected if there were enough others.
    """

    model: str
    file: str
    started: float
    seconds: float
    outcome: Outcome
    sentence: str
    series: tuple[Series, ...] = ()
    ejected: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()


def outcome_of(series: Sequence[Series], *, undecided: bool = False) -> Outcome:
    """The round in one word, the worst first."""
    answered = [each for each in series if not each.error]
    if any(each.wrong for each in answered):
        return "wrong"
    if undecided:
        return "undecided"
    if not answered:
        return "failed"
    if any(each.change is not None and each.change.moved for each in answered):
        return "moved"
    return "first" if any(each.change is None for each in answered) else "same"


def sentence_of(model: str, series: Sequence[Series], *, undecided: bool = False) -> str:
    """What the paths that changed, and those that did not, say together."""
    answered = [each for each in series if not each.error]
    said: list[str] = []
    if undecided:
        said.append(
            f"Endpoints of {model} answer differently, or have different model files, and nothing "
            "says yet which is right: none is ejected for that."
        )
    direct = [each for each in answered if each.path == "direct"]
    bad = [each for each in direct if each.wrong]
    if len(bad) > 1 and len(bad) == len(direct):
        said.append(
            f"All endpoints of {model} answer otherwise than before ({_counted(bad[0])}): the "
            "model file was replaced without a reload, or what runs it has changed."
        )
    else:
        said += [_of_endpoint(each, alone=len(direct) == 1) for each in bad]
    through = [each for each in answered if each.path != "direct" and each.wrong]
    wrong = {each.endpoint for each in bad}
    unexplained = [each for each in through if not (each.by and set(each.by) <= wrong)]
    if unexplained:
        past = any(each.path == "uncached" for each in answered)
        said.append(_of_gateway(model, unexplained, direct=bool(direct) and not bad, past=past))
    if answered and not said:
        said.append(_calm(model, answered))
    said += [f"{each.name} was not asked: {each.error}." for each in series if each.error]
    return " ".join(said)


def _of_endpoint(each: Series, *, alone: bool) -> str:
    others = "" if alone else ", and not all others do"
    if each.stranger:
        return (
            f"{each.endpoint} has another model file than it should have (digest "
            f"{each.digest[:16]}) and gives other answers ({_counted(each)}){others}: its file was "
            "replaced without a reload."
        )
    return (
        f"{each.endpoint} gives other answers than before ({_counted(each)}){others}: its worker "
        "or its machine is at fault, or it serves another model than it says."
    )


def _of_gateway(model: str, through: Sequence[Series], *, direct: bool, past: bool) -> str:
    """*direct*: the endpoints are right; *past*: the cache was passed by too."""
    counted = _counted(through[0])
    if past and all(each.path == "cached" for each in through):
        return (
            f"The cache of {model} gives answers that the model does not give ({counted}): purge "
            f"it (infergate cache purge -m {model}), and see who else writes to its store."
        )
    if direct:
        return (
            f"The endpoints of {model} answer as before, and through the gateway the answers are "
            f"others ({counted}): the steps before or behind the model have changed, or a request "
            "went to another model."
        )
    return (
        f"Through the gateway {model} answers otherwise than before ({counted}), and its endpoints "
        "alone do not explain that."
    )


def _counted(each: Series) -> str:
    change = each.change
    if change is None:
        return "nothing to compare"
    if change.fault:
        return change.fault
    if not change.flipped:
        return (
            f"numbers of {change.moved} of {change.rows} rows, the first is row {change.first[0]}"
        )
    return f"{change.flipped} of {change.rows} rows flipped, the first is row {change.first[0]}"


def _calm(model: str, answered: Sequence[Series]) -> str:
    strangers = ", ".join(each.endpoint for each in answered if each.stranger)
    told = f"{strangers} has another model file, with the same answers. " if strangers else ""
    moved = [each for each in answered if each.change is not None and each.change.moved]
    if moved:
        return (
            f"{told}No verdict of {model} has changed, but {moved[0].name} gives numbers that are "
            f"further off than floats are ({_counted(moved[0])}): another runtime or machine."
        )
    compared = [each.change.rows for each in answered if each.change is not None]
    if len(compared) < len(answered):
        rows = max(each.rows for each in answered)
        return f"{told}First round of this model file: its answers to {rows} rows are kept."
    return f"{told}All {max(compared)} rows of {model} are answered as before, on every path."
