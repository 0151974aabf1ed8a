# SPDX-License-Identifier: Apache-2.0
"""Choices: whose first answers are golden, and which endpoints may be ejected for theirs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gateway.quality.probes.golden import compare

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from gateway.quality.probes.golden import Golden


def expected_digest(bound: str, digests: Iterable[str]) -> str:
    """The digest that endpoints should have: *bound*, known before, else that of most of them.

    "" where as many have one as another: then nobody is a stranger.
    """
    if bound:
        return bound
    counts = Counter(digest for digest in digests if digest).most_common(2)
    if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
        return ""
    return counts[0][0]


class First(NamedTuple):
    """Whose answers are golden: *endpoint*; *undecided* where others are as good."""

    endpoint: str
    undecided: bool = False


def choose(candidates: Mapping[str, Golden], right: Mapping[str, float]) -> First:
    """Whose answers to take as golden, of endpoints with the same model file, at least one.

    Those that most others agree with; of groups as large the one that is *right* more often, by
    the labels. Where that does not decide either, nobody may be called wrong.
    """
    groups: list[list[str]] = []
    for name, golden in candidates.items():
        for group in groups:
            if not compare(candidates[group[0]], golden.outputs).wrong:
                group.append(name)
                break
        else:
            groups.append([name])
    rank = {group[0]: (len(group), right.get(group[0], 0.0)) for group in groups}
    best = max(rank.values())
    leaders = [name for name, value in rank.items() if value == best]
    return First(leaders[0], undecided=len(leaders) > 1)


def ejectable(
    wrong: Sequence[str], *, able: Collection[str], out: Collection[str], most: float
) -> list[str]:
    """Those of *wrong* that may be ejected, so that enough are left.

    *able* are the endpoints that can answer clients, *out* those that are left out already. At
    most the share *most* of both together is out at the same time, though one may always be; and
    never the last one that is able.
    """
    out = set(out)
    left = set(able) - out
    allowed = max(1, int(most * len(left | out))) - len(out)
    chosen: list[str] = []
    for name in wrong:
        if name in out:
            continue
        if len(chosen) >= allowed or not left - {name}:
            break
        left.discard(name)
        chosen.append(name)
    return chosen
