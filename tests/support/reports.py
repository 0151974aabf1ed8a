# SPDX-License-Identifier: Apache-2.0
"""A report with every part that there is, measured on servers in virtual time."""

from __future__ import annotations

from copy import deepcopy

from gateway.lab.account.account import account
from gateway.lab.account.metrics import Metrics
from gateway.lab.account.processes import Machine, Use
from gateway.lab.load.run import Environment, Health, Run, Timing
from gateway.lab.report.document import Held, Report, Sweep
from gateway.lab.report.front import Candidate, Front
from gateway.lab.search.against import compare
from gateway.lab.search.evidence import Evidence, judge
from gateway.lab.search.gate import check
from gateway.lab.search.knee import knees
from gateway.lab.search.limit import Method, find
from gateway.lab.search.point import Point
from gateway.lab.search.probe import Timing as Lengths
from gateway.lab.search.scenarios import burst, overload
from gateway.lab.search.slo import Slo
from tests.support.md1 import Md1
from tests.support.runs import run_of

SLO = Slo.parse("p99=20ms,errors=1%")
_measured: list[Report] = []


async def loaded(rate: float = 700.0, seconds: float = 30.0, seed: int = 1) -> Run:
    """A run of a server that takes 1 ms for each request, with all that a gateway says."""
    run = await Md1(0.001)(rate, seconds, seed)
    count = run.ok
    run.server_timing = {
        "queue": Timing(seconds=0.0011 * count, count=count),
        "preprocess": Timing(seconds=0.00006 * count, count=count),
        "infer": Timing(seconds=0.0007 * count, count=count),
        "total": Timing(seconds=0.0021 * count, count=count),
    }
    run.health = [Health(pid=4711, cpu=0.31, sent=count)]
    run.cache = {"miss": count}
    run.warmup = 2.0
    run.started = 1_795_000_000.0
    run.environment = Environment(
        machine={"cpu": "a processor of 2 cores", "cores": "2"},
        versions={"infergate": "1.0"},
        server="infergate",
        server_version="1.0",
        model_digest="0123456789abcdef",
    )
    return run


def front() -> Front:
    """Settings of a tuning, one of them refused."""
    return Front(
        candidates=(
            Candidate(label="as it was", throughput=900, p99=0.018, memory=2e8, accuracy=0.971,
                      is_default=True),
            Candidate(label="2 replicas", throughput=1700, p99=0.012, memory=3e8, accuracy=0.971),
            Candidate(label="2 replicas, 64 rows", throughput=2400, p99=0.016, memory=3e8,
                      accuracy=0.971, is_chosen=True),
            Candidate(label="1 replica, 64 rows", throughput=1500, p99=0.017, memory=2e8,
                      accuracy=0.971),
            Candidate(label="int8", throughput=3100, p99=0.011, memory=1e8, accuracy=0.902,
                      refused="7 points of accuracy"),
        ),
        reason="2 replicas and 64 rows carry 2.7 times as much within the SLO",
        p99_bound=0.02,
    )  # fmt: skip


async def whole() -> Report:
    """Every part at once, which no single command makes; measured once, and a copy each time."""
    if not _measured:
        _measured.append(await _measure())
    return deepcopy(_measured[0])


async def _measure() -> Report:
    run = await loaded()
    server = Md1(0.001)
    limit = await find(server, SLO, Method(start=100, timing=Lengths(5, 20)))
    steps = [
        Point.of_runs("concurrency", n, [await server(rate, 10, n)])
        for n, rate in [(1, 300), (2, 500), (4, 700), (8, 850), (16, 940), (32, 970)]
    ]
    slower = Md1(0.0012)
    comparison = await compare(
        ("http://a:8000", lambda seed: server(700, 10, seed)),
        ("http://b:8000", lambda seed: slower(700, 10, 99 + seed)),
    )
    fast, slow = [0.001] * 50, [0.2] * 50
    bursting = run_of([fast] * 10 + [slow] * 6 + [fast] * 14, schedule="burst", burst_seconds=4.0)
    uses = [
        Use(name="gateway", role="gateway", pid=11, cores=0.42, memory=90 << 20),
        Use(name="worker digits-0", role="worker", pid=12, cores=0.93, memory=140 << 20),
    ]
    return Report(
        name="whole",
        made=run.started,
        version="1.0",
        kind="limit",
        runs=[run],
        held=Held(SLO, judge(Evidence.of_run(run, SLO), SLO, confidence=0.99)),
        limit=limit,
        knees=knees(
            [one.point for one in limit.probes],
            passed=[one.rate for one in limit.probes if one.outcome == "pass"],
        ),
        sweep=Sweep("concurrency", tuple(steps)),
        comparison=comparison,
        gate=check([run], [await loaded(seed=2)], baseline="last-release"),
        overload=overload(await server(850, 10, 5), await server(1275, 10, 6), SLO),
        burst=burst(bursting, SLO),
        account=account(run, metrics=Metrics.parse(""), uses=uses, machine=Machine(2, 0.85)),
        front=front(),
    )
