# SPDX-License-Identifier: Apache-2.0
"""The section ``quality`` of a model: what its answers mean, and what is kept of them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.stages.sampling_options import SliceConfig
from gateway.units import Duration, Share

ClassName = Annotated[str, Meta(min_length=1, max_length=128)]


class LabelsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When labels come, and what holds where two of one source disagree."""

    conflict: Annotated[
        Literal["last_wins", "first_wins", "reject"],
        Meta(
            description=(
                "Which label of one source holds where another is there already: the one whose "
                "`time` is later, or earlier (the time at which it came where it has none), or "
                "the one that was there. Danger: with reject figures depend on the order in which "
                "labels come."
            )
        ),
    ] = "last_wins"
    wait: Annotated[
        Duration,
        Meta(ge=0, description="How long a label is kept that comes before its prediction."),
    ] = 7 * 86400.0
    reach: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How old a prediction may be when its label comes; beyond it labels are answered "
                "`expired`. What `ledger.retention` has taken out cannot be labelled either."
            ),
        ),
    ] = 30 * 86400.0


Least = Annotated[float | None, Meta(ge=0, le=1, description="At least this.")]
Most = Annotated[float | None, Meta(ge=0, description="At most this.")]


class TargetsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What figures ought to be; where the whole interval of one lies outside, it says so.

    An alarm watches accuracy, or subset_accuracy: it is false once in thirty days at most, on
    average, while the figure is exactly at its target. precision, recall and f1 are those of the
    positive class of two, else the mean over classes.
    """

    accuracy: Least = None
    balanced_accuracy: Least = None
    subset_accuracy: Least = None
    precision: Least = None
    recall: Least = None
    f1: Least = None
    specificity: Least = None
    matthews: Least = None
    kappa: Least = None
    roc_auc: Least = None
    average_precision: Least = None
    r2: Least = None
    brier: Most = None
    log_loss: Most = None
    ece: Most = None
    hamming_loss: Most = None
    mae: Most = None
    rmse: Most = None
    error_p90: Most = None

    def wanted(self) -> dict[str, float]:
        """The targets that are set, by the name of their figure."""
        found = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: bound for name, bound in found.items() if bound is not None}


class QualityConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model without this section keeps no predictions."""

    task: Annotated[
        Literal["classification", "multilabel", "regression"],
        Meta(description="What an answer is: one class, a set of labels, or a number."),
    ] = "classification"
    classes: Annotated[
        Annotated[int, Meta(ge=2, le=65_535)] | tuple[ClassName, ...] | None,
        Meta(
            description=(
                "How many classes there are, or their names in the order of the scores. Figures "
                "average over these, whether or not they occur. Needed unless the task is "
                "regression."
            )
        ),
    ] = None
    positive: Annotated[
        str | int | None,
        Meta(
            description=(
                "The class that precision and recall of two classes are about; the second one "
                "where it is not said."
            )
        ),
    ] = None
    output: Annotated[
        str | None,
        Meta(
            description=(
                "The output that says the class or value, or has a row of scores; where it is not "
                "said, it is found by its shape."
            )
        ),
    ] = None
    scores: Annotated[
        str | None,
        Meta(description="The output with a row of scores, where it is another one."),
    ] = None
    scale: Annotated[
        Literal["auto", "probabilities", "logits"],
        Meta(
            description=(
                "What the scores are. auto: probabilities where they lie in 0 to 1 and add up to "
                "1, else logits, of which probabilities are made."
            )
        ),
    ] = "auto"
    threshold: Annotated[
        Share,
        Meta(
            description=(
                "The probability from which on a label of a multilabel model, or the positive "
                "class where there is one score alone, is said."
            )
        ),
    ] = 0.5
    sample: Annotated[
        Share,
        Meta(
            description=(
                "The share of predictions that is kept, chosen by a keyed hash of their ids; each "
                "stands for as many as it was chosen from."
            )
        ),
    ] = 1.0
    slices: Annotated[
        tuple[SliceConfig, ...],
        Meta(
            max_length=8,
            description=(
                "Tags by which figures are told apart, such as {name: region, header: x-region}. "
                "Danger: whoever sends the header chooses where a request counts."
            ),
        ),
    ] = ()
    questions: Annotated[
        bool,
        Meta(
            description=(
                "Whether equal questions are recognised in a model without a cache too, so that "
                "repeats do not make figures look surer than they are. It costs a hash of the "
                "inputs."
            )
        ),
    ] = False
    level: Annotated[
        float,
        Meta(gt=0.5, lt=1, description="How sure the intervals of all figures are."),
    ] = 0.95

    labels: LabelsConfig = LabelsConfig()

    targets: Annotated[
        TargetsConfig | None,
        Meta(description="What figures ought to be, as in {accuracy: 0.9, log_loss: 0.3}."),
    ] = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes, numbers as text; none for a regression."""
        if isinstance(self.classes, int):
            return tuple(str(each) for each in range(self.classes))
        return self.classes or ()
