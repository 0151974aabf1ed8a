# SPDX-License-Identifier: Apache-2.0
"""Cells count exactly, and families keep their label sets closed."""

import pytest

from gateway.telemetry import Family, HistogramCell, SumCell
from gateway.telemetry.snapshot import FamilySnapshot

BOUNDS = (1.0, 2.0, 4.0)


def counter(*labels: str, models: tuple[str, ...] = ("digits",)) -> Family[SumCell]:
    """A counter with these label names."""
    return Family(
        "infergate_things_total", "Things.", labels,
        kind="counter", make=SumCell, models=models, resumes=True,
    )  # fmt: skip


def histogram() -> Family[HistogramCell]:
    """A histogram without labels over BOUNDS."""
    return Family(
        "infergate_sizes", "Sizes.", (),
        kind="histogram", make=lambda: HistogramCell(BOUNDS), models=(), bounds=BOUNDS,
        resumes=True,
    )  # fmt: skip


def test_many_values_are_sorted_before_anybody_reads() -> None:
    """What was put aside is the same afterwards, and few values are left where they are."""
    cell = HistogramCell(BOUNDS)
    cell.observe(BOUNDS[0])
    cell.settle()
    assert len(cell._aside) == 1
    for _ in range(999):
        cell.observe(BOUNDS[0])
    cell.settle()
    assert cell._aside == []
    cell.observe(BOUNDS[-1] * 2)
    assert (sum(cell.counts), cell.counts[0], cell.counts[-1]) == (1001, 1000, 1)


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, 0), (1.0, 0), (1.001, 1), (2.0, 1), (4.0, 2), (4.001, 3), (1e9, 3)]
)
def test_a_value_falls_into_the_first_bucket_that_is_not_below_it(
    value: float, bucket: int
) -> None:
    """Bounds are inclusive upper limits, as Prometheus' ``le`` says, and nothing is lost above."""
    cell = HistogramCell(BOUNDS)

    cell.observe(value)

    assert cell.counts.index(1) == bucket
    assert cell.sum == value


@pytest.mark.parametrize("size", [0, 1, 255, 256, 5000])
def test_many_values_are_counted_as_one_by_one(size: int) -> None:
    """However many values gather between two scrapes, none is lost and none moves."""
    values = [(number % 50) / 10 for number in range(size)]
    singly, together = HistogramCell(BOUNDS), HistogramCell(BOUNDS)
    for value in values:
        singly.observe(value)
        assert sum(singly.counts) > 0
        together.observe(value)

    assert together.counts == singly.counts
    assert together.sum == pytest.approx(singly.sum)
    assert all(type(count) is int for count in together.numbers()[1:])


def test_cell_of_the_same_labels_is_the_same_object() -> None:
    """A bound cell stays the one that a scrape reads."""
    family = counter("model", "code")
    family.cell("digits", "200").value += 2

    assert family.cell("digits", "200").value == 2
    assert family.cell("digits", "500").value == 0


def test_a_model_that_is_not_configured_counts_as_unknown() -> None:
    """A caller cannot make up series by asking for made-up models."""
    family = counter("model")
    for number in range(1000):
        family.cell(f"made-up-{number}").value += 1

    assert list(family.cells) == [("unknown",)]
    assert family.cell("unknown").value == 1000


def test_a_wrong_number_of_label_values_is_refused() -> None:
    """The error names the metric and the labels that it has."""
    with pytest.raises(ValueError, match=r"infergate_things_total: 1 label values .*'code'"):
        counter("model", "code").cell("digits")


def test_a_dropped_cell_is_not_in_the_snapshot() -> None:
    """What belongs to a subject that is gone disappears."""
    family = counter("worker")
    family.cell("a").value += 1
    family.cell("b").value += 1

    family.drop("a")
    family.drop("never-there")

    assert family.snapshot().samples == [(("b",), [1])]


def test_resume_adds_to_what_was_counted_meanwhile() -> None:
    """The values of an earlier life come on top, bucket by bucket."""
    earlier, later = histogram(), histogram()
    for value in (0.5, 3.0, 9.0):
        earlier.cell().observe(value)
    later.cell().observe(3.5)

    later.resume(earlier.snapshot())

    assert later.cell().counts == [1, 0, 2, 1]
    assert later.cell().sum == pytest.approx(16.0)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ("other",)},
        {"bounds": (1.0, 2.0)},
        {"samples": [((), [1.0])]},
        {"samples": [(("digits",), [5.0, 1.0, 0.0, 0.0, 0.0])]},
    ],
    ids=["labels", "bounds", "too few numbers", "too many labels"],
)
def test_resume_leaves_out_what_no_longer_fits(change: dict[str, object]) -> None:
    """A file of another version neither breaks nor distorts a metric."""
    fields: dict[str, object] = {
        "name": "infergate_sizes", "kind": "histogram", "help": "", "labels": (), "across": "sum",
        "bounds": BOUNDS, "samples": [((), [5.0, 1.0, 0.0, 0.0, 0.0])],
    }  # fmt: skip
    family = histogram()

    family.resume(FamilySnapshot(**fields | change))  # type: ignore[arg-type]

    assert family.cell().counts == [0, 0, 0, 0]


def test_resume_counts_a_model_that_was_removed_as_unknown() -> None:
    """A total over all models does not fall when one is taken out of the configuration."""
    before, after = counter("model", models=("digits", "old")), counter("model")
    before.cell("old").value += 7
    before.cell("digits").value += 1

    after.resume(before.snapshot())

    assert after.cell("unknown").value == 7
    assert after.cell("digits").value == 1
