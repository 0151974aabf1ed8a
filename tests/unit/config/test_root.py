# SPDX-License-Identifier: Apache-2.0
"""The configuration as a whole: what a short one means, and that all of it is documented."""

from __future__ import annotations

from typing import get_args, get_origin

import pytest
from msgspec import Struct

from gateway.config.annotation import Annotation, fields, is_section
from gateway.config.load import read
from gateway.config.root import Config
from gateway.config.scalar import check


def sections(annotation: object) -> set[type[Struct]]:
    """All sections at and below *annotation*."""
    found: set[type[Struct]] = set()
    about = Annotation(annotation)
    if about.steps is not None:
        return set(about.steps().values())
    for member in about.members:
        base = Annotation(member).base
        if is_section(base):
            found |= {base}.union(*(sections(each.annotation) for each in fields(base).values()))
        elif get_origin(base) in {dict, tuple}:
            found = found.union(*(sections(each) for each in get_args(base)))
    return found


SECTIONS = sorted(sections(Config), key=lambda section: section.__name__)


def test_a_model_needs_only_its_path() -> None:
    """Everything else has a default that works."""
    config = read("models: {a: {backends: [{worker: {path: x}}]}}", name="f", files=False)
    model = config.models["a"]
    assert model.backends[0].worker is not None
    assert (model.backends[0].worker.replicas, model.backends[0].weight) == (1, 1.0)
    assert (model.batch.max_rows, model.retry.attempts, model.cache) == (64, 2, None)
    assert (config.server.http, config.server.timeout) == ("127.0.0.1:8000", 30.0)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_section_is_frozen_and_described(section: type[Struct]) -> None:
    """Nobody changes a configuration that is in use, and every key says what it does."""
    assert section.__struct_config__.frozen
    for field in fields(section).values():
        inner = [member for member in sections(field.annotation) if member is not section]
        assert field.about.description or inner, f"{section.__name__}.{field.name}"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_default_is_within_its_own_bounds(section: type[Struct]) -> None:
    """What is refused from a file cannot be a default either."""
    for field in fields(section).values():
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            check(field.default, field.about, str(field.default))
