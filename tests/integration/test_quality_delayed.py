# SPDX-License-Identifier: Apache-2.0
"""Real models' answers, labels a day later, and a restart: figures are scikit-learn's, exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn import metrics

from gateway.quality.figures.live import LiveFigures
from gateway.quality.figures.query import Query
from gateway.quality.figures.read import answer
from gateway.quality.figures.spec import Spec
from gateway.quality.items import Sent
from gateway.quality.truth import Truth
from tests.support.labelled_rows import NOON, Clock, parts
from tests.support.ledgers import hub_over, made, opened
from tests.support.tree import ROOT

DAY = 86_400.0
PARTS = ("precision", "recall", "f1")


def answered(model: str) -> tuple[Any, Any, Any]:
    """The true class, the answer and the probabilities of every held-out row of *model*."""
    held = np.load(ROOT / "models" / model / "test.npz")
    session = onnxruntime.InferenceSession(str(ROOT / "models" / model / "1" / "model.onnx"))
    name = session.get_inputs()[0].name
    outputs = {
        each.name: value
        for each, value in zip(
            session.get_outputs(), session.run(None, {name: held["inputs"]}), strict=True
        )
    }
    (scores,) = (value for value in outputs.values() if value.ndim == 2)
    (said,) = (value for value in outputs.values() if value.ndim == 1)
    return held["labels"].astype(np.int64), said.astype(np.int64), scores


@pytest.mark.parametrize("model", ["digits", "breast-cancer"])
async def test_labels_of_the_next_day_give_what_scikit_learn_gives(
    tmp_path: Path, model: str
) -> None:
    """Late, wrong and then corrected, repeated and unknown labels, and a restart in between."""
    true, said, scores = answered(model)
    classes = scores.shape[1]
    names = tuple(map(str, range(classes)))
    spec = Spec(task="classification", classes=names, positive=1 if classes == 2 else None)
    truths = {"m": Truth("classification", names)}
    clock = Clock(NOON)
    ids = [f"row-{place}" for place in range(len(true))]
    # A tenth of the rows never gets a label.
    labelled = np.arange(len(true)) % 10 != 3
    query = Query(window="30d")
    async with opened(tmp_path, clock=clock) as ledger:
        hub, _ = hub_over(ledger, truths=truths, clock=clock)
        live = LiveFigures({"m": spec}, clock=clock)
        live.begin(None)
        hub.add(live)
        hub.open()
        for part in np.array_split(np.arange(len(true)), 5):
            hub.take(
                made(
                    [ids[place] for place in part],
                    said[part].tolist(),
                    times=[clock.now] * len(part),
                    scores=parts(scores[part]),
                )
            )
            clock.now += 600
        await ledger.kept("")
        assert answer(live, "m", query).rows.predictions == len(true)
        assert answer(live, "m", query).rows.labelled == 0
        clock.now += DAY
        which = np.flatnonzero(labelled)
        wrong = [Sent(ids[place], 0, int((true[place] + 1) % classes)) for place in which[:40]]
        await hub.label("", wrong)
        right = [Sent(ids[place], 0, int(true[place])) for place in which]
        results = await hub.label("", [*right, *right[:50], Sent("nobody", 0, 0)])
        assert {each.result for each in results} == {"joined", "conflict", "duplicate", "buffered"}
        await ledger.kept("")
        first = answer(live, "m", query)
    told = [first]
    async with opened(tmp_path, clock=clock) as ledger:
        hub, adding = hub_over(ledger, truths=truths, clock=clock)
        again = LiveFigures({"m": spec}, clock=clock)
        hub.add(again)
        hub.open()
        again.begin(await ledger.kept("figures"))
        while sum(adding.cells.values()) < len(which):
            await ledger.kept("")
        while not hub.caught_up:
            await ledger.kept("")
        told.append(answer(again, "m", query))
    for one in told:
        assert one.rows.labelled == len(which)
        assert one.delay.median == pytest.approx(DAY, rel=0.1)
        figures = {name: figure.value for name, figure in one.figures.items()}
        assert figures["accuracy"] == metrics.accuracy_score(true[which], said[which])
        for average, values in one.averages.items():
            expected = metrics.precision_recall_fscore_support(
                true[which], said[which], average=average, labels=range(classes)
                if average != "binary" else None, zero_division=0.0,
            )  # fmt: skip
            assert [values[part].value for part in PARTS] == pytest.approx(expected[:3], rel=1e-12)
        matthews = metrics.matthews_corrcoef(true[which], said[which])
        assert figures["matthews"] == pytest.approx(matthews, rel=1e-12)
    for name, figure in first.figures.items():
        assert told[1].figures[name].value == pytest.approx(figure.value, rel=1e-12, nan_ok=True)
