# SPDX-License-Identifier: Apache-2.0
"""What river, scikit-learn and NannyML say of the same rows, and where they differ.

    pip install river nannyml scikit-learn msgspec     # in an environment of its own
    python -m benchmarks.quality.rivals

Run from the repository. The others are installed for this program alone: nothing else needs them.
Prints a Markdown table a question.
"""

from __future__ import annotations

import os
import time
import warnings
from typing import Any

# NannyML reports its use to a server elsewhere unless it is told not to before it is imported.
os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"

import nannyml
import numpy as np
import pandas as pd
import river
import sklearn
from river import metrics as online
from sklearn import metrics as sk

from benchmarks.quality.stream import Stream
from gateway.statistics.arrays import Booleans, Floats
from gateway.statistics.classifier import Classifier
from gateway.statistics.confusion import ConfusionMatrix
from gateway.statistics.drift import jensen_shannon
from gateway.statistics.figures import matrix_figures
from gateway.statistics.prediction_powered import PredictionPowered
from gateway.statistics.profile import NumberProfile
from gateway.statistics.ranking import ScoreHistogram
from gateway.statistics.unlabelled import ExpectedQuality

ROWS = 20_000
CHUNKS = 400


def table(title: str, heads: list[str], rows: list[list[Any]]) -> None:
    """Print one."""
    print(f"\n## {title}\n")
    print("| " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * (len(heads) - 1))
    for row in rows:
        cells = (f"{one:.6f}" if isinstance(one, float) else str(one) for one in row)
        print("| " + " | ".join(cells) + " |")


def classes() -> None:
    """Figures of the confusion matrix of ten classes, and the rate of each."""
    stream = Stream.of(ROWS, 10, seed=1)
    true, said = stream.true, stream.predicted
    begun = time.perf_counter()
    state = Classifier(list(range(10)))
    state.add(true, said)
    ours = time.perf_counter() - begun
    begun = time.perf_counter()
    figures = state.figures(np.random.default_rng(1))
    asked = time.perf_counter() - begun
    theirs: dict[str, Any] = {
        "accuracy": online.Accuracy(),
        "balanced_accuracy": online.BalancedAccuracy(),
        "macro_f1": online.MacroF1(),
        "weighted_f1": online.WeightedF1(),
        "matthews": None,
        "kappa": online.CohenKappa(),
    }
    begun = time.perf_counter()
    for y, p in zip(true.tolist(), said.tolist(), strict=True):
        for metric in theirs.values():
            if metric is not None:
                metric.update(y, p)
    slow = time.perf_counter() - begun
    exact = {
        "accuracy": sk.accuracy_score(true, said),
        "balanced_accuracy": sk.balanced_accuracy_score(true, said),
        "macro_f1": sk.f1_score(true, said, average="macro"),
        "weighted_f1": sk.f1_score(true, said, average="weighted"),
        "matthews": sk.matthews_corrcoef(true, said),
        "kappa": sk.cohen_kappa_score(true, said),
    }
    table(
        f"Ten classes, {ROWS} rows",
        ["Figure", "scikit-learn", "Infergate", "river"],
        [[name, float(value), figures[name].value,
          "for two classes only" if theirs[name] is None else float(theirs[name].get())]
         for name, value in exact.items()],
    )  # fmt: skip
    print(
        f"\nInfergate takes in {ROWS / ours:,.0f} rows/s and answers with all figures and "
        f"intervals in {asked * 1e3:.0f} ms; river takes in {ROWS / slow:,.0f} rows/s for these "
        "five."
    )


def strange_class() -> None:
    """One prediction of a class that does not exist."""
    stream = Stream.of(2000, 3, seed=2)
    true, said = np.append(stream.true, 0), np.append(stream.predicted, 99)
    state = ConfusionMatrix([0, 1, 2])
    state.add(true, said)
    ours = matrix_figures(state.matrix(), np.random.default_rng(1))["macro_f1"].value
    river_f1 = online.MacroF1()
    for y, p in zip(true.tolist(), said.tolist(), strict=True):
        river_f1.update(y, p)
    before = sk.f1_score(true[:-1], said[:-1], average="macro")
    after = sk.f1_score(true, said, average="macro")
    table(
        "Macro F1 of three classes, before and after one prediction of a fourth",
        ["", "before", "after"],
        [["scikit-learn, default", float(before), float(after)],
         ["river", "", float(river_f1.get())],
         ["Infergate, classes given", "", ours]],
    )  # fmt: skip


def areas() -> None:
    """The area under the ROC curve, from a stream."""
    rows = []
    example = (np.asarray([0, 0, 1, 1]), np.asarray([0.1, 0.4, 0.35, 0.8]))
    random = np.random.default_rng(3)
    truth = (random.random(ROWS) < 0.3).astype(int)
    sharp = 1 / (1 + np.exp(-random.normal(np.where(truth, 4, -4), 3)))
    rare = (random.random(ROWS) < 0.01).astype(int)
    low = random.beta(np.where(rare, 3, 1), 60)
    for name, y, p in (
        ("river's own example, 4 rows", *example),
        ("scores near 0 and 1", truth, sharp),
        ("1 % positives, all scores low", rare, low),
    ):
        histogram = ScoreHistogram()
        histogram.add(y[:, None] == 1, p[:, None])
        area = histogram.roc_auc()
        found = []
        for thresholds in (10, 1000):
            metric = online.ROCAUC(n_thresholds=thresholds)
            for label, score in zip(y.tolist(), p.tolist(), strict=True):
                metric.update(bool(label), score)
            found.append(float(metric.get()))
        ours = f"{area.value:.6f} ± {area.upper - area.value:.6f}"
        rows.append([name, float(sk.roc_auc_score(y, p)), ours, *found])
    table(
        "Area under the ROC curve",
        ["Stream", "exact", "Infergate, bound", "river, 10 thresholds", "river, 1000"],
        rows,
    )


def frame(stated: Floats, truth: Booleans) -> pd.DataFrame:
    """What NannyML reads."""
    return pd.DataFrame({"p": stated, "said": (stated > 0.5).astype(int), "y": truth.astype(int)})


def without_labels() -> None:
    """Estimated accuracy of chunks: no drift, drift of the inputs, and of what is true."""
    random = np.random.default_rng(4)
    known = random.beta(0.6, 0.6, ROWS)
    reference = frame(known, random.random(ROWS) < known)
    estimator = nannyml.CBPE(
        problem_type="classification_binary", y_pred_proba="p", y_pred="said", y_true="y",
        metrics=["accuracy", "roc_auc"], chunk_number=1,
    )  # fmt: skip
    estimator.fit(reference)
    rows = []
    for name, a, b, honest in (
        ("no change", 0.6, 0.6, 1.0),
        ("harder rows", 2.0, 2.0, 1.0),
        ("half of the labels turned at random", 0.6, 0.6, 0.5),
    ):
        stated = random.beta(a, b, ROWS)
        truth = random.random(ROWS) < np.where(random.random(ROWS) < honest, stated, 0.5)
        estimate = estimator.estimate(frame(stated, truth)).to_df()
        theirs = float(estimate[("accuracy", "value")].iloc[-1])
        state = ExpectedQuality(classes=2)
        said = (stated > 0.5).astype(int)
        state.add(said, np.column_stack((1 - stated, stated)))
        right = said == truth
        few = PredictionPowered()
        sure = np.maximum(stated, 1 - stated)
        few.add_labelled(right[:300], sure[:300])
        few.add_others(sure[300:])
        mean, interval, _ = few.mean()
        rows.append([name, float(right.mean()), theirs, state.accuracy().value,
                     f"{mean:.4f} [{interval.lower:.4f}, {interval.upper:.4f}]"])  # fmt: skip
    table(
        f"Accuracy of {ROWS} rows without labels, and with 300",
        ["Stream", "true", "NannyML, CBPE", "Infergate, expected", "Infergate, 300 labels"],
        rows,
    )


def days(rows: int, each: int, *, seed: int) -> pd.DataFrame:
    """*rows* of a column that never changes, *each* a day."""
    random = np.random.default_rng(seed)
    day = np.arange(rows) // each
    return pd.DataFrame(
        {"x": random.normal(size=rows), "t": pd.Timestamp("2020-01-01") + pd.to_timedelta(day, "D")}
    )


def false_alarms() -> None:
    """Days of a column that has not changed at all, by rows a day."""
    rows = []
    for known, size in ((1000, 1000), (200, 200), (1000, 200)):
        reference, data = days(40 * known, known, seed=5), days(CHUNKS * size, size, seed=6)
        calculator = nannyml.UnivariateDriftCalculator(
            column_names=["x"], continuous_methods=["jensen_shannon"], chunk_period="D",
            timestamp_column_name="t",
        )  # fmt: skip
        calculator.fit(reference)
        found = calculator.calculate(data).filter(period="analysis").to_df()["x"]["jensen_shannon"]
        base = NumberProfile.fit(reference["x"].to_numpy())
        profile = base.copy()
        base.add(reference["x"].to_numpy())
        ours, classic = 0, 0
        for part in np.split(data["x"].to_numpy(), CHUNKS):
            current = profile.copy()
            current.add(part)
            drift = jensen_shannon(base.counts(), current.counts())
            ours += drift.alarm
            classic += drift.distance > 0.1
        rows.append([f"{size}, reference {known}", float(found["upper_threshold"].iloc[0]),
                     float(np.mean(found["alert"])), classic / CHUNKS, ours / CHUNKS])  # fmt: skip
    table(
        f"Alarms of Jensen-Shannon distance without any drift, share of {CHUNKS} days",
        ["Rows a day", "NannyML, threshold", "NannyML", "ten bins, 0.1 always", "Infergate"],
        rows,
    )


def main() -> None:
    """All of them."""
    warnings.simplefilter("ignore")
    print(f"river {river.__version__}, scikit-learn {sklearn.__version__}, "
          f"NannyML {nannyml.__version__}, NumPy {np.__version__}")  # fmt: skip
    for question in (classes, strange_class, areas, without_labels, false_alarms):
        question()


if __name__ == "__main__":
    main()
