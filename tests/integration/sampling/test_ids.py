# SPDX-License-Identifier: Apache-2.0
"""One id from the request to the figures: live, cached and shadow, with a label or without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sampled import Sampled, until

QUALITY = "quality: {classes: 10, slices: [{name: region, header: x-region}]}"


def test_hits_count_like_all_others_and_equal_questions_once(tmp_path: Path) -> None:
    """Every row is a prediction; what was asked twice is as sure as what was asked once.

    The figure is that of the same rows, asked of nobody in between.
    """
    with Sampled(tmp_path, f"{QUALITY}, cache: {{}}, shadow: {{model: twin, sample: 1}}") as house:
        right = 0
        for round_ in range(2):
            for start in range(0, 90, 15):
                status, headers, body = house.ask(15, at=start, id=f"{round_}.{start}", labels=True)
                assert (status, headers["X-Inference-Id"]) == (200, f"{round_}.{start}")
                outputs = {each["name"]: each["data"] for each in body["outputs"]}
                right += sum(
                    said == true
                    for said, true in zip(
                        outputs["label"], house.labels[start:].tolist(), strict=False
                    )
                )
                hit = headers["Cache-Status"].startswith("infergate; hit")
                assert hit is (round_ == 1)

        until(lambda: house.samples() == {"live": 180, "shadow": 180})
        until(lambda: bool(house.quality()["rows"]["labelled"] == 180))

        found = house.quality()
        assert found["figures"]["accuracy"]["value"] == pytest.approx(right / 180, abs=1e-12)
        assert found["rows"]["questions"] == pytest.approx(90)
        assert found["rows"]["effective"] == pytest.approx(90, rel=0.01)
        assert house.samples("samples_lost_total") == {}
        assert house.shadows() == {"answered": 12}


def test_what_was_answered_past_the_stages_is_seen_as_well(tmp_path: Path) -> None:
    """The very same bytes again and again are as many predictions, under an id of ours each."""
    with Sampled(tmp_path, f"{QUALITY}, cache: {{}}") as house:
        ids = {house.ask(1, at=3)[1]["X-Inference-Id"] for _ in range(50)}

        assert len(ids) == 50
        until(lambda: house.samples() == {"live": 50})


def test_labels_are_no_part_of_the_question(tmp_path: Path) -> None:
    """Equal rows with different labels are one question to the cache, and two labels."""
    with Sampled(tmp_path, f"{QUALITY}, cache: {{}}") as house:
        answers = [house.ask(1, at=0, parameters={"label": label}) for label in (0, 1, 0, 1)]

        assert [status for status, _, _ in answers] == [200] * 4
        assert answers[3][1]["Cache-Status"].startswith("infergate; hit")
        until(lambda: bool(house.quality()["rows"]["labelled"] == 4))
        assert house.quality()["figures"]["accuracy"]["value"] == 0.5


def test_a_label_for_a_model_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    """It would be lost without a word otherwise."""
    with Sampled(tmp_path, QUALITY) as house:
        status, _, body = house.ask(1, model="twin", parameters={"label": 3})
        assert status == 400
        assert "model 'twin' takes no labels" in body["error"]


def test_all_processes_choose_the_same_ids(tmp_path: Path) -> None:
    """Whichever of them is asked: an id is kept by all of them, or by none."""
    ids = [f"id-{number}" for number in range(12)]
    quality = "quality: {classes: 10, sample: 50%}"
    with Sampled(
        tmp_path, quality, processes=2, root="sampling: {secret: 0123456789abcdef}\n"
    ) as house:
        for id_ in ids:
            for _ in range(6):
                # A connection of its own, which any process may take.
                status, _ = house.serving.post(
                    "/v2/models/digits/infer",
                    {"id": id_, "inputs": [{"name": "image", "datatype": "FP32",
                     "shape": [1, 64], "data": [0.0] * 64}]},
                )  # fmt: skip
                assert status == 200
        from gateway.wire.selection import Selection, derived_key, threshold  # noqa: PLC0415

        selection = Selection(derived_key("0123456789abcdef"))
        kept = sum(selection.number(id_) < threshold(0.5) for id_ in ids)
        assert 0 < kept < len(ids)
        until(lambda: house.samples().get("live") == 6 * kept)
