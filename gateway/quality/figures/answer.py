# SPDX-License-Identifier: Apache-2.0
"""Answer: what a reader is told, as structs that are JSON. docs/reference/quality-api.md."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.statistics.estimate import Estimate

# Raised when a field changes its meaning or goes; new fields leave it.
SCHEMA_VERSION: Final = 1


class Target(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a figure is wanted to be: at least *lower_bound*, or at most *upper_bound*.

    *outside_bounds*: its whole interval lies outside, so that it is not chance.
    """

    lower_bound: float | None = None
    upper_bound: float | None = None
    outside_bounds: bool = False


class Figure(Estimate, frozen=True, kw_only=True):
    """An estimate with what puts it into place.

    *coverage* is the share of the window's predictions that have a label. *status* is ok, below
    target, or insufficient where there are too few rows for a verdict. *baseline* is the figure of
    a model that always says the same.
    """

    coverage: float | None
    status: str
    sentence: str
    baseline: float | None = None
    target: Target | None = None


class WindowSpan(msgspec.Struct, frozen=True):
    """Which predictions count: those made from *since* to *until*, in seconds since the epoch.

    *revision* grows with every label and prediction that is counted.
    """

    name: str
    since: float
    until: float
    revision: int


class RowCounts(msgspec.Struct, frozen=True):
    """How many rows there are: *predictions* seen, rows *labelled*, and how much these are worth.

    *questions* are different inputs among the labelled rows. *left_out* rows were of endpoints or
    slices beyond the number that is told apart, *expired* ones too old to be counted.
    """

    predictions: int
    labelled: int
    coverage: float | None
    effective: float
    questions: float
    left_out: int
    expired: int


class LabelDelay(msgspec.Struct, frozen=True):
    """How late labels come, in seconds; *mature*: the labels that will come have come.

    *p95* is by Kaplan and Meier; *settled* is the share of predictions that are older than it.
    """

    median: float | None
    p95: float | None
    settled: float | None
    mature: bool


class Coverage(msgspec.Struct, frozen=True):
    """Rows of one predicted class or of a tenth of confidence: of how many there is a label."""

    of: str
    predictions: float
    labelled: float
    share: float | None


class Calibrated(msgspec.Struct, frozen=True):
    """An estimate without labels, and how wrong it was on the rows that have one.

    *promised* is what it said of those rows, *came_true* what they were; *learned_from* is how many
    earlier labels it was calibrated with, 0 for probabilities as they came.
    """

    value: float
    lower: float
    upper: float
    rows: int
    promised: float | None
    came_true: float | None
    learned_from: int
    f1: float | None
    assumes: str


class Powered(msgspec.Struct, frozen=True):
    """The accuracy over all predictions from few labels and the confidence in all others.

    *share* is how much the confidence counted, 0 where it was the labels alone.
    """

    value: float
    lower: float
    upper: float
    labels: int
    others: int
    share: float
    assumes: str


class ClassFigures(msgspec.Struct, frozen=True):
    """One class: how many of its predictions and of its rows are right."""

    label: str
    precision: Estimate
    recall: Estimate
    f1: Estimate
    specificity: Estimate


class Confusion(msgspec.Struct, frozen=True):
    """Rows by true and predicted class, as [true, predicted, rows, weight], the most first.

    *labels* are the classes by place; ``(other)`` is what no configuration names. *cut* cells were
    left out.
    """

    labels: list[str]
    cells: list[tuple[int, int, int, float]]
    cut: int = 0


class Baseline(msgspec.Struct, frozen=True):
    """The class that would be right most often if it were always said, and how often."""

    label: str
    accuracy: float


class Alarm(msgspec.Struct, frozen=True):
    """Whether accuracy has fallen below its target, by a test that may be watched all the time.

    *evidence* reaches *threshold* at an alarm; there are *threshold* minutes between false ones, on
    average at least.
    """

    on: bool
    target: float
    evidence: float
    threshold: float


class Breakdown(msgspec.Struct, frozen=True):
    """The first figure of one endpoint, slice or model file."""

    name: str
    figure: Estimate
    predictions: int
    labelled: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a model's answers in a window."""

    schema_version: int = SCHEMA_VERSION
    # False while the ledger is still being read after a start.
    complete: bool = True
    model: str
    task: str
    role: str
    name: str
    digests: list[str]
    endpoint: str | None
    slice: dict[str, str]
    level: float
    ci: str
    average: str
    classes_from: str
    window: WindowSpan
    rows: RowCounts
    delay: LabelDelay
    sentence: str
    figures: dict[str, Figure]
    averages: dict[str, dict[str, Estimate]] = {}
    classes: list[ClassFigures] = []
    confusion: Confusion | None = None
    baseline: Baseline | None = None
    by_question: Estimate | None = None
    post_stratified: Estimate | None = None
    without_labels: Calibrated | None = None
    prediction_powered: Powered | None = None
    coverage_by_class: list[Coverage] = []
    coverage_by_confidence: list[Coverage] = []
    endpoints: list[Breakdown] = []
    slices: list[Breakdown] = []
    files: list[Breakdown] = []
    alarm: Alarm | None = None
    notes: list[str] = []


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """One model in the list of all: its first figure, and what it is worth."""

    model: str
    task: str
    metric: str
    figure: Figure
    f1: float | None
    rows: RowCounts
    delay: LabelDelay
    alarm: Alarm | None
    roles: list[str]
