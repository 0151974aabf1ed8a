# SPDX-License-Identifier: Apache-2.0
"""Checks of candidates: what may take a model's place is another model, and can be compared."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config.root import ModelConfig


def candidate(section: ModelConfig) -> Iterator[tuple[str, str]]:
    """The stages of one model's candidate grow, and its answers can be right or wrong."""
    wanted = section.candidate
    if wanted is None:
        return
    if any(later <= earlier for earlier, later in pairwise(wanted.shares)):
        yield "candidate", "stages: expected shares that grow, such as [shadow, 1%, 10%, 100%]"
    mirrored = [each.sample for each in section.shadows if each.model == wanted.model]
    if not mirrored:
        message = f"'{wanted.model}' is no shadow of the model, so nothing compares the two"
        yield "candidate", f"{message}; expected shadow: {{model: {wanted.model}}}"
    elif not mirrored[0]:
        message = "some requests are never mirrored where shadow.sample is 0"
        yield "candidate", f"{message}; expected a share of all of them, such as 1%"
    quality = section.quality
    if quality is None:
        yield "candidate", "quality is missing beside it; expected {classes: …}, what answers mean"
    elif quality.task == "regression":
        message = "a regression's answers are neither right nor wrong"
        yield "candidate", f"{message}; expected the task classification or multilabel"


def candidates(models: Mapping[str, ModelConfig]) -> Iterator[tuple[str, str]]:
    """The candidates of *models* are among them."""
    for name, section in models.items():
        wanted = section.candidate
        if wanted is None:
            continue
        where = f"{name}: candidate: model"
        if wanted.model == name:
            yield "models", f"{where}: '{name}' is the model itself; expected another one"
            continue
        other = models.get(wanted.model)
        if other is None:
            there = ", ".join(each for each in models if each != name) or "none besides"
            yield "models", f"{where}: there is no model '{wanted.model}'; there are: {there}"
        elif other.candidate is not None:
            message = f"'{wanted.model}' has a candidate of its own"
            yield "models", f"{where}: {message}; expected a model without"
