# SPDX-License-Identifier: Apache-2.0
"""Checks of shadows and slices: who is asked is another model, and rules can be met."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config.root import ModelConfig
    from gateway.stages.shadow_options import ShadowRule


def slices(section: ModelConfig) -> Iterator[tuple[str, str]]:
    """A slice has one name and one source."""
    if section.quality is None:
        return
    names = [each.name for each in section.quality.slices]
    for name in sorted({each for each in names if names.count(each) > 1}):
        yield "quality", f"slices: '{name}' is there twice; expected each name once"
    for each in section.quality.slices:
        if (each.header is None) == (each.parameter is None):
            yield "quality", f"slices: {each.name}: expected either header or parameter"


def shadow(section: ModelConfig) -> Iterator[tuple[str, str]]:
    """Each shadow of a model is there once, and its rules are about what there is."""
    names = [each.model for each in section.shadows]
    for name in sorted({each for each in names if names.count(each) > 1}):
        yield "shadow", f"the model '{name}' is there twice; expected each shadow once"
    for each in section.shadows:
        for at, rule in enumerate(each.when):
            for fault in _rule(section, rule):
                yield "shadow", f"{each.model}: when[{at}]: {fault}"


def _rule(section: ModelConfig, rule: ShadowRule) -> Iterator[str]:
    quality = section.quality
    conditions = (rule.confidence_below, rule.disagreement, rule.slice)
    if all(each is None for each in conditions):
        yield "expected confidence_below, disagreement or slice"
    elif quality is None:
        yield "the model has no section quality, so that its answers mean nothing; expected one"
        return
    if quality is None:
        return
    if rule.confidence_below is not None and quality.task == "regression":
        yield "confidence_below: a regression has no confidence"
    if rule.disagreement is not None and quality.task != "classification":
        yield f"disagreement: goes by the class, and the task is {quality.task}"
    known = {each.name: each for each in quality.slices}
    for name, value in (rule.slice or {}).items():
        if name not in known:
            there = ", ".join(known) or "none"
            yield f"slice: there is no slice '{name}' in quality; there are: {there}"
        elif known[name].values and value not in {*known[name].values, "other", "none"}:
            yield f"slice: '{value}' is none of the values of '{name}'"


def shadows(models: Mapping[str, ModelConfig]) -> Iterator[tuple[str, str]]:
    """The shadows of *models* are among them, and nothing is a shadow of itself."""
    for name, section in models.items():
        for each in section.shadows:
            where = f"{name}: shadow: model"
            if each.model == name:
                yield "models", f"{where}: '{name}' is the model itself; expected another one"
                continue
            other = models.get(each.model)
            if other is None:
                there = ", ".join(one for one in models if one != name) or "none besides"
                yield "models", f"{where}: there is no model '{each.model}'; there are: {there}"
            elif not _alike(section, other):
                message = "has other classes or another task in its section quality"
                yield "models", f"{where}: '{each.model}' {message}; expected the same"
    for circle in _circles(models):
        yield "models", f"shadows go in a circle: {' -> '.join(circle)}; expected an end"


def _alike(one: ModelConfig, other: ModelConfig) -> bool:
    """Whether the answers of both mean the same, as far as that is said."""
    ours, theirs = one.quality, other.quality
    if ours is None or theirs is None:
        return True
    return ours.task == theirs.task and ours.names == theirs.names


def _circles(models: Mapping[str, ModelConfig]) -> Iterator[list[str]]:
    """Each circle of more than one model once, from its first in the order of *models*."""
    order = list(models)
    for first in order:
        paths = [[first]]
        while paths:
            path = paths.pop()
            for each in models[path[-1]].shadows:
                if each.model == first and len(path) > 1:
                    yield [*path, first]
                    paths.clear()
                    break
                # One that begins earlier was found there.
                later = each.model in models and order.index(each.model) > order.index(first)
                if later and each.model not in path:
                    paths.append([*path, each.model])
