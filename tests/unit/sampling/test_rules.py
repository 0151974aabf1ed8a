# SPDX-License-Identifier: Apache-2.0
"""Rules: the share that each request has, and what it is known from."""

from __future__ import annotations

import numpy as np

from gateway.sampling.reading import Read
from gateway.sampling.rules import ENOUGH, Disagreement, Rule, Rules

EU, US = {"region": "eu"}, {"region": "us"}


def answers(*rows: tuple[int, float]) -> Read:
    """Rows of two classes by class and its probability."""
    predicted = np.array([row[0] for row in rows], np.int32)
    sure = np.array([row[1] for row in rows])
    return Read(predicted, np.stack([sure, 1 - sure], axis=1))


def test_plain_rules_need_no_answer() -> None:
    """The largest share of those that hold counts."""
    rules = Rules(0.1, [Rule(0.5, slice=EU), Rule(0.05, slice=US)])
    assert not rules.reads
    assert (rules.plain(EU), rules.plain(US), rules.plain({})) == (0.5, 0.1, 0.1)
    assert rules.widest == 0.5


def test_low_confidence_in_one_row_is_enough() -> None:
    """A request is asked as a whole."""
    rules = Rules(0.1, [Rule(1.0, confidence_below=0.7)])
    read = answers((0, 0.9), (0, 0.65), (0, 0.7), (0, 0.99))

    assert rules.reads
    assert rules.shares(read, [2, 1, 1], [{}, {}, {}]).tolist() == [1.0, 0.0, 0.0]


def test_all_conditions_of_a_rule_must_hold() -> None:
    """Those on slices too."""
    rules = Rules(0.1, [Rule(1.0, confidence_below=0.7, slice=EU)])
    read = answers((0, 0.6), (0, 0.6))

    assert rules.shares(read, [1, 1], [EU, US]).tolist() == [1.0, 0.0]


def test_without_scores_nothing_is_unsure() -> None:
    """The start says so; a client may leave the scores out all the same."""
    rules = Rules(0.1, [Rule(1.0, confidence_below=0.7)])
    assert rules.shares(Read(np.zeros(1, np.int32)), [1], [{}]).tolist() == [0.0]


def test_disagreement_is_known_by_class() -> None:
    """Unknown is as good as disagreement, until enough rows were compared."""
    seen = Disagreement(2)
    seen.learn(np.zeros(ENOUGH - 1, np.int32), np.zeros(ENOUGH - 1, np.int32))
    assert seen.rates(np.array([0, 1, -1])).tolist() == [1.0, 1.0, 1.0]

    seen.learn(np.array([0]), np.array([1]))
    assert seen.rates(np.array([0, 1])).tolist() == [1 / ENOUGH, 1.0]


def test_old_disagreement_is_forgotten() -> None:
    """A shadow that was mended is not asked more for ever."""
    seen = Disagreement(1)
    seen.learn(np.zeros(1000, np.int32), np.ones(1000, np.int32))
    for _ in range(20):
        seen.learn(np.zeros(1000, np.int32), np.zeros(1000, np.int32))
    assert seen.rates(np.array([0]))[0] < 0.01


def test_classes_that_disagree_have_the_larger_share() -> None:
    """Those that agree have the plain one."""
    rules = Rules(0.1, [Rule(0.8, disagreement=0.05)], classes=2)
    rules.disagreement.learn(np.repeat([0, 1], 100), np.repeat([0, 0], 100))

    assert rules.shares(answers((0, 0.9), (1, 0.9)), [1, 1], [{}, {}]).tolist() == [0.0, 0.8]
