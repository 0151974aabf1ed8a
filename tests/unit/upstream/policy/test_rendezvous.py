# SPDX-License-Identifier: Apache-2.0
"""Rendezvous hashing: scores."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.upstream.policy.rendezvous import Rendezvous, hashed


def test_each_name_wins_its_share() -> None:
    """Keys that differ in one digit are spread as evenly as any."""
    rendezvous = Rendezvous()
    weights = {"127.0.0.1:9000": 1.0, "127.0.0.1:9001": 1.0, "127.0.0.1:9002": 3.0}
    wins: Counter[str] = Counter()
    for number in range(5000):
        key = hashed(b"%d" % number)
        wins[max(weights, key=lambda name: rendezvous.score(name, key, weights[name]))] += 1
    assert [wins[name] for name in weights] == [
        pytest.approx(share, rel=0.1) for share in (1000, 1000, 3000)
    ]


def test_scores_are_the_same_everywhere() -> None:
    """Written down once: another release that scores otherwise would move every key."""
    assert Rendezvous().score("digits-0", hashed(b"user 1"), 1.0) == pytest.approx(
        1.1226675043419878
    )
