# SPDX-License-Identifier: Apache-2.0
"""Bottleneck: rules that name what limits a deployment, and which knob to turn next.

Each rule is a question to the facts with a threshold beside it; those that apply are given in
their order, the first is the headline. docs/tuning.md says more of every knob.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.lab.account.facts import Facts
from gateway.lab.account.metrics import OURS

# A process at this many cores, whose event loop or session has one thread, has no more to give.
FULL_CORE: Final = 0.9
# All cores of the machine together count as used from here on.
FULL_MACHINE: Final = 0.9
# A span is large from this share of the response on, and the rule of the largest span applies.
LARGE: Final = 0.3
# Of all requests: fewer that are shed or fail do not shape a result.
FEW: Final = 0.01
# The generator takes this share of the machine: it is measured with the server.
DISTURBING: Final = 0.25
# Look-ups that give so little do not pay.
FEW_HITS: Final = 0.02
# An event loop that is late by this on average, in seconds, is blocked by something.
LATE_LOOP: Final = 0.005
# Attempts for each request, above which failures or hedges multiply the load.
MANY_ATTEMPTS: Final = 1.1


class Finding(msgspec.Struct, frozen=True):
    """What was found, and what to try: *rule* is its name."""

    rule: str
    cause: str
    knob: str

    def __str__(self) -> str:
        return f"{self.cause}: {self.knob}"


def findings(facts: Facts) -> list[Finding]:
    """All that apply, the most telling first; never none."""
    found = [one for one in (rule(facts) for rule in _RULES) if one is not None]
    return found or [_nothing(facts)]


def _generator(facts: Facts) -> Finding | None:
    if facts.valid:
        return None
    if facts.busy is not None and facts.cores and facts.busy >= FULL_MACHINE:
        ours = sum(
            (facts.all_worker_cores or 0.0, facts.gateway_cores or 0.0, facts.generator_cores or 0)
        )
        if ours < facts.busy * facts.cores / 2:
            return Finding(
                "others",
                f"other programs use the machine: server and generator have {ours:.2f} of "
                f"{facts.cores} cores",
                "measure on a quiet machine",
            )
    why = "; ".join(facts.reasons) or "its schedule was not kept"
    return Finding(
        "generator",
        f"the load generator is the limit, not the server ({why})",
        "more --processes, or --agents on other hosts",
    )


def _failing(facts: Facts) -> Finding | None:
    if facts.errors - facts.shed <= FEW:
        return None
    return Finding(
        "errors",
        f"{_percent(facts.errors - facts.shed)} of the requests fail",
        "look at the errors by kind and at the gateway's log before any figure of speed",
    )


def _attempts(facts: Facts) -> Finding | None:
    if facts.attempts is None or facts.attempts <= MANY_ATTEMPTS:
        return None
    return Finding(
        "attempts",
        f"each batch takes {facts.attempts:.2f} attempts",
        f"{OURS.attempts.name} by result names the endpoint that fails or is hedged",
    )


def _machine(facts: Facts) -> Finding | None:
    if facts.busy is None or facts.busy < FULL_MACHINE:
        return None
    uses = {
        "workers": facts.all_worker_cores or 0.0,
        "gateway": facts.gateway_cores or 0.0,
        "generator": facts.generator_cores or 0.0,
    }
    biggest = max(uses, key=lambda name: uses[name])
    cause = f"all {facts.cores} cores are busy, and "
    of_it = f"{uses[biggest]:.2f} of them"
    if not uses[biggest]:
        return Finding("machine", f"{cause}others use them", "measure on a quiet machine")
    if biggest == "workers":
        return Finding(
            "model",
            f"{cause}the model takes {of_it}",
            "a smaller model (infergate quantize), more cores, or a cache where questions repeat",
        )
    if biggest == "gateway":
        return Finding(
            "gateway",
            f"{cause}the gateway takes {of_it}",
            "binary tensors in place of JSON, larger requests, or more cores",
        )
    return Finding(
        "disturbance",
        f"{cause}the load generator takes {of_it}",
        "generate the load on another host (--agents)",
    )


def _gateway_core(facts: Facts) -> Finding | None:
    if facts.gateway_cores is None or facts.gateway_cores < FULL_CORE:
        return None
    return Finding(
        "gateway_core",
        f"a gateway process is at {facts.gateway_cores:.2f} cores, and it has one thread",
        "one more of server.processes, or binary tensors in place of JSON",
    )


def _worker_core(facts: Facts) -> Finding | None:
    if facts.worker_cores is None or facts.worker_cores < FULL_CORE:
        return None
    if facts.busy is None or facts.busy >= FULL_MACHINE:
        return None
    return Finding(
        "worker_core",
        f"the busiest of {facts.workers} workers uses {facts.worker_cores:.2f} cores while the "
        "machine has more",
        "more replicas, or more threads for one large model",
    )


def _shedding(facts: Facts) -> Finding | None:
    if facts.shed <= FEW:
        return None
    reason = max(facts.shed_reasons, key=lambda name: facts.shed_reasons[name], default="")
    knobs = {
        "queue_full": "more workers; a longer batch.queue_rows only lengthens the wait",
        "too_many": "server.limits, if the workers still have room",
        "memory": "a larger memory limit, or smaller requests",
        "file_descriptors": "a larger nofile limit, or a shorter idle_timeout",
        "loop_lag": "one more of server.processes",
    }
    because = f" ({reason})" if reason else ""
    return Finding(
        "shedding",
        f"{_percent(facts.shed)} of the requests are refused for load{because}",
        knobs.get(reason, "less load, or more workers"),
    )


def _loop(facts: Facts) -> Finding | None:
    if facts.loop_lag is None or facts.loop_lag < LATE_LOOP:
        return None
    return Finding(
        "loop",
        f"the gateway's event loop is {facts.loop_lag * 1e3:.1f} ms late on average",
        "binary tensors in place of large JSON bodies",
    )


def _cache(facts: Facts) -> Finding | None:
    if facts.hits is None or facts.hits > FEW_HITS:
        return None
    return Finding(
        "cache",
        f"{_percent(facts.hits)} of the look-ups find an answer",
        "cache.adaptive, or no cache for this model",
    )


_KNOBS: Final = {
    "client": "more --connections, or less load: requests wait before they are sent",
    "network": "keep connections open, send binary tensors, or bring the client nearer",
    "gateway": "binary tensors in place of JSON",
    "cache": "cache.adaptive, smaller inputs, or no cache for this model",
    "preprocess": "simpler steps, or send what the model takes; pictures: a smaller input size",
    "queue": "more replicas, or a larger max_concurrency of the worker",
    "transport": "workers on the same host, or a smaller batch.max_rows",
    "input": "fewer rows in a request, or a smaller input",
    "inference": "a smaller model (infergate quantize), or more threads for each run",
    "output": "ask for fewer outputs",
    "postprocess": "fewer or simpler postprocessing steps, on fewer outputs",
    "server": "a server that says where its time goes (Server-Timing, statistics)",
}
_WORDS: Final = {
    "client": "waiting in the generator",
    "network": "the way between client and server",
    "gateway": "the gateway's own work",
    "cache": "looking into the cache",
    "preprocess": "preprocessing",
    "queue": "waiting for a free worker",
    "transport": "the way between gateway and worker",
    "input": "copying inputs",
    "inference": "the model",
    "output": "copying outputs",
    "postprocess": "postprocessing",
    "server": "the server",
}


def _largest(facts: Facts) -> Finding | None:
    name = max(facts.shares, key=lambda one: facts.shares[one], default="")
    if not name or facts.shares[name] < LARGE:
        return None
    return Finding(
        f"largest_{name}",
        f"{_WORDS[name]} takes {_percent(facts.shares[name])} of the "
        f"{facts.mean * 1e3:.3g} ms of a mean response",
        _KNOBS[name],
    )


def _disturbance(facts: Facts) -> Finding | None:
    taken, cores = facts.generator_cores, facts.cores
    if taken is None or not cores or taken < DISTURBING * cores:
        return None
    return Finding(
        "disturbance",
        f"the load generator takes {taken:.2f} of the {cores} cores it shares with the server",
        "generate the load on another host (--agents) for figures of the server alone",
    )


def _nothing(facts: Facts) -> Finding:
    most = sorted(facts.shares.items(), key=lambda item: -item[1])[:2]
    parts = " and ".join(f"{_WORDS[name]} with {_percent(share)}" for name, share in most)
    return Finding(
        "nothing",
        f"nothing stands out: {parts or 'there is no answer to account for'}",
        "more load shows the limit (--slo)",
    )


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


_RULES: Final[tuple[Callable[[Facts], Finding | None], ...]] = (
    _generator,
    _failing,
    _attempts,
    _machine,
    _gateway_core,
    _worker_core,
    _shedding,
    _loop,
    _cache,
    _largest,
    _disturbance,
)
