# SPDX-License-Identifier: Apache-2.0
"""The augment section: what can be said, and what contradicts itself."""

from __future__ import annotations

import pytest

from gateway.config.load import read
from gateway.errors import ConfigError

MODEL = "models:\n  m:\n    backends: [{address: 'tcp:127.0.0.1:1'}]\n    "


def faults(section: str) -> list[str]:
    """What is wrong with a model of *section*."""
    with pytest.raises(ConfigError) as caught:
        read(MODEL + section, name="c.yaml")
    return caught.value.faults


def test_views_are_a_list_of_names_with_options() -> None:
    """As steps are."""
    config = read(MODEL + "augment: {views: [{identity: {}}, {flip: {axis: both}}]}", name="c")
    section = config.models["m"].augment

    assert section is not None
    assert [view.kind for view in section.views] == ["identity", "flip"]
    assert not section.goes_by_request()


def test_noise_by_the_request_and_a_cache_exclude_each_other() -> None:
    """Equal questions would have different answers; without a cache they may."""
    section = "augment: {views: [{noise: {std: 1, seed: request}}]}"

    assert faults(f"cache: {{}}\n    {section}") == [
        (
            "c.yaml:5: models.m.augment: noise with the seed request answers equal questions "
            "differently; expected the seed content in a model with a cache"
        )
    ]
    assert read(MODEL + section, name="c").models["m"].augment is not None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ("views: []", "at least 1"),
        ("views: [{mirror: {}}]", "unknown step"),
        ("views: [{identity: {}}], given: values, merge: vote", "values have a mean or a median"),
        ("views: [{identity: {}}], given: values, below: 0.5", "values have none"),
        ("views: [{identity: {}}], shape: [64]", "shape is height and width"),
        ("views: [{crop: {size: 1.5}}]", "size"),
        ("views: [{noise: {std: 0}}]", "std"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: str, says: str) -> None:
    """With what would be right."""
    assert says in "\n".join(faults(f"augment: {{{fields}}}"))
