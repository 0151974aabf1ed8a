# SPDX-License-Identifier: Apache-2.0
"""What is measured, between whom, and what is aimed at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Case:
    """One kind of closed-loop load, and the contenders that take it."""

    name: str
    about: str
    connections: int
    contenders: tuple[str, ...]

    @property
    def family(self) -> str:
        """The model, and with it the requests."""
        return self.name.partition("-")[0]


CASES = (
    Case(
        "digits-1",
        "digits, one row as JSON, 1 connection",
        1,
        ("gateway", "haproxy", "nginx", "mosec", "fastapi", "yardstick"),
    ),
    Case(
        "digits-32",
        "digits, one row as JSON, 32 connections",
        32,
        (
            "gateway",
            "haproxy",
            "gateway-cached",
            "yardstick",
            "mosec",
            "mosec-64",
            "fastapi",
            "nginx",
            "onnxruntime",
        ),
    ),
    Case(
        "digits-128",
        "digits, one row as JSON, 128 connections",
        128,
        ("gateway", "haproxy", "nginx", "mosec", "mosec-64", "fastapi", "yardstick"),
    ),
    Case(
        "images-8",
        "convolutions, one binary image of 3 x 224 x 224, 8 connections",
        8,
        ("gateway", "mosec", "onnxruntime"),
    ),
)
# Measured otherwise than by load from many clients against many contenders.
STARTUP = "startup"
SOAK = "soak"

Metric = Literal["rate", "p50_ms", "p99_ms"]


@dataclass(frozen=True)
class Target:
    """A ratio within one case: *subject*'s metric over *rival*'s, at least or at most *bound*."""

    about: str
    case: str
    subject: tuple[str, Metric]
    rival: tuple[str, Metric]
    relation: Literal["at least", "at most"]
    bound: float

    def met(self, ratio: float) -> bool:
        """Whether *ratio* is on the right side of the bound."""
        return ratio >= self.bound if self.relation == "at least" else ratio <= self.bound


def _faster(case: str, subject: str, rival: str, bound: float) -> Target:
    about = f"{case}: requests/s of {subject} over {rival}"
    return Target(about, case, (subject, "rate"), (rival, "rate"), "at least", bound)


TARGETS = (
    _faster("digits-32", "gateway", "haproxy", 1.0),
    _faster("digits-32", "gateway", "mosec", 5.0),
    _faster("digits-32", "gateway", "mosec-64", 5.0),
    _faster("digits-32", "gateway", "fastapi", 6.0),
    _faster("digits-32", "gateway", "yardstick", 0.8),
    _faster("digits-32", "gateway-cached", "haproxy", 1.5),
    Target(
        "digits-1: p50 of gateway over fastapi",
        "digits-1",
        ("gateway", "p50_ms"),
        ("fastapi", "p50_ms"),
        "at most",
        1.0,
    ),
    Target(
        "digits-128: p99 of gateway over its p50",
        "digits-128",
        ("gateway", "p99_ms"),
        ("gateway", "p50_ms"),
        "at most",
        3.0,
    ),
    _faster("images-8", "gateway", "onnxruntime", 0.9),
)
STARTUP_SECONDS = 3.0
SOAK_REQUESTS = 1_000_000
SOAK_MIB = 120.0
# Memory that a second half of the same work may add: allocators take a page now and then.
SOAK_GROWTH_MIB = 2.0


def choose(words: Sequence[str]) -> list[str]:
    """The names of the cases that *words* name, whole or by family; all load and start-up if none.

    Raises ValueError where a word names nothing.
    """
    known = [case.name for case in CASES] + [STARTUP, SOAK]
    if not words:
        return known[:-1]
    chosen: list[str] = []
    for word in words:
        found = [name for name in known if word in {name, name.partition("-")[0]}]
        if not found:
            raise ValueError(f"no case {word!r}; known are {', '.join(known)}")
        chosen += [name for name in found if name not in chosen]
    return chosen


def rotated(names: Sequence[str], number: int) -> list[str]:
    """*names* from the one at *number* on, round and round: nobody is always first."""
    shift = number % len(names) if names else 0
    return [*names[shift:], *names[:shift]]
