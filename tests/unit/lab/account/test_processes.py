# SPDX-License-Identifier: Apache-2.0
"""Processes by their command lines, and what they used between two readings."""

from __future__ import annotations

import pytest

from gateway.lab.account.account import account
from gateway.lab.account.metrics import Metrics
from gateway.lab.account.processes import Machine, Reading, Use, named, used
from gateway.lab.load.run import Health
from tests.support.runs import run_of

WORKER = ["python", "-m", "backends", "models/m", "--listen", "unix:/run/x/digits-0.sock"]


@pytest.mark.parametrize(
    ("command", "name", "role"),
    [
        (WORKER, "worker digits-0", "worker"),
        (["python", "-m", "gateway.process"], "gateway", "gateway"),
        (["python", "-m", "gateway.control"], "control", "control"),
        (["python", "-m", "gateway", "serve"], "supervisor", "supervisor"),
        (["python", "/opt/bin/infergate", "serve"], "supervisor", "supervisor"),
        (["/opt/tritonserver/bin/tritonserver"], "tritonserver", "server"),
        ([], "tritonserver", "server"),
    ],
)
def test_names_the_parts_of_a_gateway(command: list[str], name: str, role: str) -> None:
    """And any other server by its program."""
    assert named(command, "tritonserver") == (name, role)


def test_cores_are_processor_seconds_over_time() -> None:
    """A process that began between the readings counts from 0; one that ended is left out."""
    before = Reading(10.0, {1: ("gateway", "gateway", 5.0, 1), 2: ("x", "server", 1.0, 1)}, 10, 10)
    after = Reading(14.0, {1: ("gateway", "gateway", 7.0, 8), 3: ("w", "worker", 1.0, 9)}, 16, 12)
    uses, machine = used(before, after)
    assert [(use.name, use.cores, use.memory) for use in uses] == [
        ("gateway", 0.5, 8),
        ("w", 0.25, 9),
    ]
    assert machine.busy == 0.75


def test_an_account_has_the_generator_beside_the_server() -> None:
    """With the facts of both and a sentence."""
    run = run_of([[0.01] * 100], errors=[20])
    run.health = [Health(pid=7, cpu=0.4)]
    page = """\
# TYPE infergate_shed_total counter
infergate_shed_total{model="m",reason="queue_full"} 20
# TYPE infergate_cache_total counter
infergate_cache_total{model="m",layer="memory",result="hit"} 30
infergate_cache_total{model="m",layer="memory",result="miss"} 70
"""
    use = Use(name="gateway", role="gateway", pid=1, cores=0.95, memory=1)
    made = account(run, metrics=Metrics.parse(page), uses=[use], machine=Machine(4, 0.5))
    assert [one.name for one in made.processes] == ["gateway", "load generator"]
    assert made.facts.hits == pytest.approx(0.3)
    assert made.facts.shed_reasons == {"queue_full": 20}
    assert made.facts.generator_cores == 0.4
    assert made.sentence.startswith("a gateway process is at 0.95 cores")
    assert made.findings[1].rule == "shedding"
