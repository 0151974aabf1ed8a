# SPDX-License-Identifier: Apache-2.0
"""Carried: what of a generation holds on when the configuration is another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.wire.generation import Rollout


def candidate_of(config: Config, model: str) -> str:
    """The candidate of *model*, "" without one."""
    section = config.models.get(model)
    return "" if section is None or section.candidate is None else section.candidate.model


def shadows_of(config: Config, said: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """What was *said* of shadows that *config* still has."""
    kept = {
        model: {
            each.model: said[model][each.model]
            for each in section.shadows
            if each.model in said.get(model, {})
        }
        for model, section in config.models.items()
    }
    return {model: shares for model, shares in kept.items() if shares}


def rollouts_of(config: Config, rollouts: dict[str, Rollout]) -> dict[str, Rollout]:
    """Those of *rollouts* whose candidate *config* still names."""
    return {
        model: rollout
        for model, rollout in rollouts.items()
        if candidate_of(config, model) == rollout.candidate
    }
