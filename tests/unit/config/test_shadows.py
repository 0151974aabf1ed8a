# SPDX-License-Identifier: Apache-2.0
"""Checks of shadows, slices and the secret of sampling."""

from __future__ import annotations

import pytest

from gateway.config.load import read
from gateway.errors import ConfigError


def config(first: str, *others: str, more: str = "") -> str:
    """Models a, b, c … with what their sections say besides a backend."""
    sections = "".join(
        f"  {name}: {{backends: [{{address: 'unix:{name}'}}], {section}}}\n"
        for name, section in zip("abc", (first, *others), strict=False)
    )
    return f"{more}models:\n{sections}"


def faults(text: str) -> list[str]:
    """All that is wrong with *text*, without line and file."""
    with pytest.raises(ConfigError) as caught:
        read(text, name="f", environment={}, files=False)
    return [fault.partition(": ")[2] for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("shadow", "shares"),
    [
        ("shadow: {model: b, sample: 50%}", [0.5]),
        ("shadow: [{model: b}, {model: c, sample: 1}]", [0.1, 1.0]),
        ("shadow: []", []),
        ("", []),
    ],
)
def test_a_model_may_have_any_number_of_shadows(shadow: str, shares: list[float]) -> None:
    """One needs no list."""
    found = read(config(shadow, "", ""), name="f", environment={}, files=False)
    assert [each.sample for each in found.models["a"].shadows] == shares


@pytest.mark.parametrize(
    ("sections", "fault"),
    [
        (
            ("shadow: {model: z}", ""),
            "models: a: shadow: model: there is no model 'z'; there are: b",
        ),
        (
            ("shadow: {model: a}", ""),
            "models: a: shadow: model: 'a' is the model itself; expected another one",
        ),
        (
            ("shadow: {model: b}", "shadow: {model: c}", "shadow: {model: a}"),
            "models: shadows go in a circle: a -> b -> c -> a; expected an end",
        ),
        (
            ("shadow: {model: b}, quality: {classes: 2}", "quality: {classes: 3}"),
            (
                "models: a: shadow: model: 'b' has other classes or another task in its section "
                "quality; expected the same"
            ),
        ),
        (
            ("shadow: [{model: b}, {model: b}]", ""),
            "models.a.shadow: the model 'b' is there twice; expected each shadow once",
        ),
        (
            ("shadow: {model: b, when: [{sample: 1}]}", ""),
            "models.a.shadow: b: when[0]: expected confidence_below, disagreement or slice",
        ),
        (
            ("shadow: {model: b, when: [{confidence_below: 0.5}]}", ""),
            (
                "models.a.shadow: b: when[0]: the model has no section quality, so that its "
                "answers mean nothing; expected one"
            ),
        ),
        (
            (
                "quality: {task: regression}, shadow: {model: b, when: [{confidence_below: 0.5}]}",
                "",
            ),
            "models.a.shadow: b: when[0]: confidence_below: a regression has no confidence",
        ),
        (
            (
                (
                    "quality: {task: multilabel, classes: 2}, "
                    "shadow: {model: b, when: [{disagreement: 5%}]}"
                ),
                "",
            ),
            (
                "models.a.shadow: b: when[0]: disagreement: goes by the class, and the task is "
                "multilabel"
            ),
        ),
        (
            ("quality: {classes: 2}, shadow: {model: b, when: [{slice: {r: eu}}]}", ""),
            "models.a.shadow: b: when[0]: slice: there is no slice 'r' in quality; there are: none",
        ),
        (
            (
                (
                    "quality: {classes: 2, slices: [{name: r, header: R, values: [us]}]}, "
                    "shadow: {model: b, when: [{slice: {r: eu}}]}"
                ),
                "",
            ),
            "models.a.shadow: b: when[0]: slice: 'eu' is none of the values of 'r'",
        ),
        (
            ("quality: {classes: 2, slices: [{name: r}]}",),
            "models.a.quality: slices: r: expected either header or parameter",
        ),
        (
            ("quality: {classes: 2, slices: [{name: r, header: a}, {name: r, header: b}]}",),
            "models.a.quality: slices: 'r' is there twice; expected each name once",
        ),
    ],
)
def test_what_cannot_be_meant_is_named(sections: tuple[str, ...], fault: str) -> None:
    """Before anything is served."""
    assert fault in "\n".join(faults(config(*sections)))


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    """It is not shown."""
    (fault,) = faults(config("", more="sampling: {secret: hush}\n"))
    assert fault == "sampling.secret: has 4 bytes; expected at least 16, made at random"
