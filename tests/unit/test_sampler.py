# SPDX-License-Identifier: Apache-2.0
"""Sampler: from the sections of a model to its stage, and to the end of it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.config.load import read
from gateway.errors import ConfigError
from gateway.sampler import fit, meaning_of, reader_of, slices_of
from gateway.stages.sample import Sample
from tests.support.edge import model
from tests.support.generations import config, stage
from tests.support.upstream import MODEL, settle

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import ModelConfig

TWO = "quality: {classes: 2}"


def section(more: str) -> ModelConfig:
    """The section of a model with *more* in it; another one is its shadow."""
    text = (
        f"models:\n  a: {{backends: [{{address: 'unix:a'}}], {more}}}\n"
        "  b: {backends: [{address: 'unix:b'}]}\n"
    )
    return read(text, name="test", environment={}, files=False).models["a"]


def test_the_positive_class_is_the_second_unless_another_is_named() -> None:
    """By its name, whatever is written as a number."""
    assert meaning_of(section(TWO).quality).positive == 1  # type: ignore[arg-type]
    named = section("quality: {classes: [spam, ham], positive: spam}").quality
    assert named is not None
    assert meaning_of(named).positive == 0
    number = section("quality: {classes: 2, positive: 0}").quality
    assert number is not None
    assert meaning_of(number).positive == 0


def test_only_models_with_a_section_are_sampled() -> None:
    """A shadow alone needs the stage, and no reader."""
    assert slices_of(section("batch: {}")) is None
    shadowed = section("shadow: {model: b}")
    assert slices_of(shadowed) is not None
    assert reader_of(shadowed) is None
    kept = slices_of(section("quality: {classes: 2, slices: [{name: r, header: X-Region}]}"))
    assert kept is not None
    assert [(tag.name, tag.header) for tag in kept.tags] == [("r", "x-region")]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (
            "quality: {classes: 3}",
            "model 'm': quality: output 'y' has 2 columns, and there are 3 classes",
        ),
        (
            "quality: {classes: 2, output: z}",
            "model 'm': quality: no output 'z'; the model has: y FP32",
        ),
    ],
)
def test_a_model_that_cannot_be_read_is_a_fault(more: str, fault: str) -> None:
    """Told when it is loaded."""
    found = section(more)
    reader = reader_of(found)
    assert reader is not None
    with pytest.raises(ConfigError) as caught:
        fit(reader, found, MODEL)
    assert caught.value.faults[0].startswith(fault)


def test_confidence_needs_scores() -> None:
    """Without them nobody would ever be unsure."""
    found = section(f"{TWO}, shadow: {{model: b, when: [{{confidence_below: 60%}}]}}")
    reader = reader_of(found)
    assert reader is not None
    with pytest.raises(ConfigError, match="confidence_below needs scores"):
        fit(reader, found, model(outputs=[("label", "INT64", (-1,))]))
    fit(reader, found, MODEL)


async def test_a_start_with_outputs_that_say_nothing_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the reason, as for steps that do not fit."""
    monkeypatch.setattr("gateway.sampler.sampling_key_file", lambda _: tmp_path / "key")
    with pytest.raises(ConfigError, match="'y' has 2 columns, and there are 5 classes"):
        async with stage(monkeypatch, config(a=", quality: {classes: 5}")):
            pass


async def test_a_stage_that_a_reload_has_replaced_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once its last request is over, and its notes are handed over."""
    monkeypatch.setattr("gateway.sampler.sampling_key_file", lambda _: tmp_path / "key")
    async with stage(monkeypatch, config(a=f", {TWO}")) as house:
        handover = house.gateway.sampler.handover
        assert isinstance(house.gateway.models["a"].service, Sample)
        assert repr(handover).count("<Recorder a") == 1

        asked = house.ask("a")
        sent = await house.peer("a-0").request()
        await house.change(config(a=", quality: {classes: 2, sample: 50%}"))
        assert repr(handover).count("<Recorder a") == 2

        sent.respond()
        await asked
        del asked, sent
        await settle()
        gc.collect()
        await handover.empty()
        assert repr(handover).count("<Recorder a") == 1


def test_a_model_is_described_by_its_own_name() -> None:
    """The faults name it, as there may be many."""
    found = section("quality: {classes: 3}")
    reader = reader_of(found)
    assert reader is not None
    with pytest.raises(ConfigError, match="model 'digits': quality:"):
        fit(reader, found, msgspec.structs.replace(MODEL, name="digits"))
