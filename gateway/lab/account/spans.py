# SPDX-License-Identifier: Apache-2.0
"""Spans: the mean time of a request, split by who spent it.

The sum of all spans is the mean response time, from the intended send to the answer. What the
client sees is measured by the generator, what the server spends is told by its ``Server-Timing``,
its metrics, or its statistics in the manner of Triton; the rest between two of them is a span too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gateway.lab.account.metrics import OURS, Metrics
from gateway.lab.load.run import Run

# In the order in which a request meets them.
MEANING: Final = {
    "client": "waiting in the generator for its turn or a free connection",
    "network": "on the way: sockets, kernel, the client's own reading",
    "gateway": "reading, checking and writing in the gateway",
    "cache": "looking it up in the cache",
    "preprocess": "preprocessing steps",
    "queue": "waiting for a free worker, or for its batch",
    "transport": "between gateway and worker, and in the worker's own queue",
    "input": "copying inputs to the model",
    "inference": "the model",
    "output": "copying outputs from the model",
    "postprocess": "postprocessing steps",
    "server": "in the server, which does not say on what",
}


class Span(msgspec.Struct, frozen=True):
    """*seconds* of a mean request, that is *share* of it; *source* says who measured it."""

    name: str
    seconds: float
    share: float
    source: str


def spans(run: Run, metrics: Metrics | None) -> list[Span]:
    """Those of *run*; *metrics* are what a gateway's own have grown by meanwhile."""
    response, service = run.response.mean, run.service.mean
    parts = [("client", max(0.0, response - service), "generator")]
    if "total" in run.server_timing:
        parts += _ours(run, service, metrics)
    elif told := list(_triton(run.statistics)):
        inside = sum(seconds for _, seconds in told)
        parts.append(("network", max(0.0, service - inside), "generator less statistics"))
        parts += [(name, seconds, "statistics") for name, seconds in told]
    else:
        parts.append(("server", service, "generator"))
    total = sum(seconds for _, seconds, _ in parts)
    order = list(MEANING)
    return [
        Span(name, seconds, seconds / total if total else 0.0, source)
        for name, seconds, source in sorted(parts, key=lambda part: order.index(part[0]))
        if seconds > 0
    ]


def _ours(run: Run, service: float, metrics: Metrics | None) -> Iterator[tuple[str, float, str]]:
    """Of a server that says its total, as a gateway does; means over all of its answers."""
    timing = run.server_timing
    count = timing["total"].count or 1

    def mean(name: str) -> float:
        return timing[name].seconds / count if name in timing else 0.0

    total, queue, infer = mean("total"), mean("queue"), mean("infer")
    cache, preprocess, postprocess = mean("cache"), mean("preprocess"), mean("postprocess")
    upstream = _upstream(metrics, run.plan.model)
    went = timing["infer"].count / count if "infer" in timing else 0.0
    transport = 0.0 if upstream is None else max(0.0, upstream * went - infer)
    # Steps may run beside the wait in the queue: no span is longer than what is left for it.
    rest = total - queue - infer - cache - preprocess - postprocess
    transport = min(transport, max(0.0, rest))
    yield "network", max(0.0, service - total), "generator less Server-Timing"
    for name, seconds in (("cache", cache), ("preprocess", preprocess), ("queue", queue)):
        yield name, seconds, "Server-Timing"
    yield "transport", transport, "metrics less Server-Timing"
    yield "inference", infer, "Server-Timing"
    yield "postprocess", postprocess, "Server-Timing"
    yield "gateway", max(0.0, rest - transport), "Server-Timing, what is left"


def _upstream(metrics: Metrics | None, model: str) -> float | None:
    """The mean time upstream of a request that went there, None where nothing says it."""
    if metrics is None:
        return None
    requests = metrics.count(OURS.request_seconds.name, model=model)
    went = metrics.count(OURS.overhead_seconds.name, model=model)
    if went and went >= 0.99 * requests:
        # Overhead is the whole less the time upstream; summed over requests, not over batches.
        whole = metrics.sum(OURS.request_seconds.name, model=model)
        return max(0.0, whole - metrics.sum(OURS.overhead_seconds.name, model=model)) / went
    return metrics.mean(OURS.upstream_seconds.name, model=model)


def _triton(statistics: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The means of the model's statistics extension, whose counters have grown by *statistics*."""
    names = {
        "queue": "queue", "compute_input": "input",
        "compute_infer": "inference", "compute_output": "output",
    }  # fmt: skip
    for model in statistics.get("model_stats") or ():
        told = model.get("inference_stats") or {}
        requests = (told.get("success") or {}).get("count") or 0
        if not requests:
            continue
        for key, name in names.items():
            nanoseconds = (told.get(key) or {}).get("ns") or 0
            yield name, nanoseconds / requests / 1e9
        return
