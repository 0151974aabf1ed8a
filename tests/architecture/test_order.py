# SPDX-License-Identifier: Apache-2.0
"""The order of the stages, which `gateway.pipeline` explains and nothing else decides."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from gateway.access_log import AccessLog
from gateway.config import load
from gateway.config.placement import placed
from gateway.pipeline import stack
from gateway.serving import Gateway
from gateway.telemetry import Telemetry
from gateway.wire.generation import Generation
from tests.support.tree import ROOT

CONFIG = {
    "models": {
        "full": {
            "backends": [{"address": "tcp:127.0.0.1:1"}],
            "cache": {},
            "hedge": {},
            "preprocess": [{"scale": {"factor": 0.5}}],
            "postprocess": [{"softmax": {}}],
            "augment": {"views": [{"identity": {}}]},
            "quality": {"classes": 2},
            "shadow": {"model": "bare"},
            "candidate": {"model": "bare"},
            "drift": {},
        },
        "vectors": {
            "backends": [{"address": "tcp:127.0.0.1:1"}],
            "preprocess": [{"clean_text": {}}],
            "postprocess": [{"pool": {}}],
        },
        "bare": {"backends": [{"address": "tcp:127.0.0.1:1"}]},
        "placed": {
            "backends": [{"address": "tcp:127.0.0.1:1"}],
            "policy": {"consistent_hash": {}},
        },
        "placed-views": {
            "backends": [{"address": "tcp:127.0.0.1:1"}],
            "policy": {"consistent_hash": {}},
            "augment": {"views": [{"identity": {}}]},
        },
        "by-header": {
            "backends": [{"address": "tcp:127.0.0.1:1"}],
            "policy": {"consistent_hash": {"header": "X-User"}},
        },
    }
}

# (above, below, why), for every pair whose order is a law.
LAWS = [
    ("Observe", "Rescue", "what is refused is measured too"),
    ("Rescue", "Deadline", "the one place where an error becomes an answer"),
    ("Rescue", "Admission", "the one place where an error becomes an answer"),
    ("Deadline", "Admission", "all that waits spends one budget"),
    ("Admission", "Infer", "shedding comes before the body is decoded"),
    ("Sample", "Cache", "otherwise accuracy and shadows would cover misses only"),
    ("Sample", "Split", "who is sampled does not depend on who answers"),
    ("Profile", "Split", "what is asked does not depend on who answers"),
    ("Profile", "Cache", "hits are asked too"),
    ("Split", "Cache", "neither of two models answers from the other's cache"),
    ("Cache", "Preprocess", "a hit costs no processor time"),
    ("Cache", "Postprocess", "what is kept is finished"),
    ("Preprocess", "Batch", "only finished tensors have a shape to merge on"),
    ("Postprocess", "Augment", "the steps see the merged outputs"),
    ("Preprocess", "Augment", "views are made of finished tensors"),
    ("Augment", "Batch", "the views of a row are rows of one batch"),
    ("Batch", "Retry", "a failed attempt sends the same batch, and nobody queues twice"),
    ("Retry", "Balance", "every attempt picks afresh"),
    ("Retry", "Hedge", "a hedge is part of the attempt that it helps"),
    ("Hedge", "Balance", "each of the two picks an endpoint"),
]


def names(service: object) -> list[str]:
    """The classes from *service* down to the last stage."""
    found = []
    while service is not None:
        found.append(type(service).__name__)
        service = getattr(service, "_inner", None)
    return found


@pytest.fixture(name="gateway")
def fixture_gateway(tmp_path: Path) -> Gateway:
    """A gateway with every stage that there is."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    telemetry = Telemetry(CONFIG["models"])
    config = load(str(path))
    return Gateway(
        config,
        Generation(1, str(path), placed(config)),
        runtime=tmp_path,
        telemetry=telemetry,
        access_log=AccessLog(telemetry=telemetry),
    )


def test_the_stages_stand_in_their_order(gateway: Gateway) -> None:
    """The list, from the outside in."""
    assert names(gateway.service) == ["Observe", "Rescue", "Deadline", "Admission", "Infer"]
    assert names(gateway.models["full"].service) == [
        "Sample", "Profile", "Split", "Cache", "Postprocess", "Preprocess", "Augment", "Batch",
        "Retry", "Hedge", "Balance",
    ]  # fmt: skip


def test_a_model_has_only_the_stages_that_it_asks_for(gateway: Gateway) -> None:
    """Without a section there is no stage."""
    assert names(gateway.models["bare"].service) == ["Batch", "Retry", "Balance"]
    assert names(gateway.models["placed"].service) == ["QuestionKey", "Batch", "Retry", "Balance"]
    # The views of a row go where the row goes.
    assert names(gateway.models["placed-views"].service) == [
        "QuestionKey", "Augment", "Batch", "Retry", "Balance",
    ]  # fmt: skip
    assert names(gateway.models["by-header"].service) == ["Batch", "Retry", "Balance"]


def test_what_a_step_back_reads_is_carried_past_the_queue(gateway: Gateway) -> None:
    """Below Preprocess are the model's own inputs, above Batch those of one request."""
    assert names(gateway.models["vectors"].service) == [
        "Postprocess", "Preprocess", "Carry", "Batch", "Retry", "Balance",
    ]  # fmt: skip


@pytest.mark.parametrize(("above", "below", "why"), LAWS)
def test_every_law_of_order_holds(gateway: Gateway, above: str, below: str, why: str) -> None:
    """*above* stands before *below*, because of *why*."""
    order = [*names(gateway.service), *names(gateway.models["full"].service)]

    assert order.index(above) < order.index(below), why


def test_the_page_that_follows_a_request_names_every_stage_in_order(gateway: Gateway) -> None:
    """docs/life-of-a-request.md changes together with the pipeline."""
    text = (ROOT / "docs" / "life-of-a-request.md").read_text()
    order = [*names(gateway.service), *names(gateway.models["full"].service)]
    places = [text.index(f"| `{name}` |") for name in order]

    assert all(before < after for before, after in pairwise(places))


def test_the_first_layer_sees_a_request_first() -> None:
    """`stack` reads from the top down."""
    seen = []

    def layer(name: str) -> Callable[[object], tuple[str, object]]:
        def wrap(inner: object) -> tuple[str, object]:
            seen.append(name)
            return (name, inner)

        return wrap

    assert stack(layer("a"), layer("b"), to="end") == ("a", ("b", "end"))
    assert seen == ["b", "a"]
