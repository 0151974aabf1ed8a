# SPDX-License-Identifier: Apache-2.0
"""Policies, by the names that a configuration gives them: which ready endpoint gets a request.

The pool filters, a policy picks: it never sees an endpoint that is not ready.
"""

from typing import Final

from gateway.upstream.policy.consistent_hash import ConsistentHash, ConsistentHashConfig
from gateway.upstream.policy.least_outstanding import LeastOutstanding, LeastOutstandingConfig
from gateway.upstream.policy.peak_ewma import PeakEwma, PeakEwmaConfig
from gateway.upstream.policy.power_of_two import PowerOfTwo, PowerOfTwoConfig
from gateway.upstream.policy.reported_load import ReportedLoad, ReportedLoadConfig
from gateway.upstream.policy.round_robin import RoundRobin, RoundRobinConfig
from gateway.upstream.policy.seam import (
    Informed,
    Keyed,
    Learning,
    Loaded,
    Policy,
    PolicyConfig,
)

# A policy that is added to the table can be named in a configuration from then on.
POLICIES: Final[dict[str, type[PolicyConfig]]] = {
    "least_outstanding": LeastOutstandingConfig,
    "least_connections": LeastOutstandingConfig,
    "peak_ewma": PeakEwmaConfig,
    "power_of_two": PowerOfTwoConfig,
    "round_robin": RoundRobinConfig,
    "consistent_hash": ConsistentHashConfig,
    "reported_load": ReportedLoadConfig,
}

__all__ = [
    "POLICIES",
    "ConsistentHash",
    "Informed",
    "Keyed",
    "Learning",
    "LeastOutstanding",
    "Loaded",
    "PeakEwma",
    "Policy",
    "PolicyConfig",
    "PowerOfTwo",
    "ReportedLoad",
    "RoundRobin",
]
