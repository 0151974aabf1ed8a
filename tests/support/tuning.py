# SPDX-License-Identifier: Apache-2.0
"""Tuning: a machine made of formulas, for searches without a gateway."""

from __future__ import annotations

from random import Random

from gateway.lab.search.slo import Slo
from gateway.lab.tune.measured import Measured, Objective, Report
from gateway.lab.tune.setting import Setting

OBJECTIVE = Objective(slo=Slo.parse("p99=20ms"))


class MadeUpBench:
    """Throughput is a product of what each knob gives; *noise* is its relative spread.

    Two replicas give 1.8 times as much as one, two threads 1.4 times, larger batches more up to 32
    rows, int8 1.3 times; spinning costs a fifth. Each try counts in *tried*.
    """

    def __init__(self, *, noise: float = 0.0, seed: int = 3, refuse: str = "") -> None:
        self.tried: list[Setting] = []
        self.stopped = 0
        self._random = Random(seed)
        self._noise = noise
        self._refuse = refuse

    def truth(self, setting: Setting) -> float:
        """Requests a second, without noise."""
        rate = 1000.0
        rate *= {1: 1.0, 2: 1.8, 4: 3.0}[setting.replicas]
        rate *= {1: 1.0, 2: 1.4, 4: 1.9}[setting.threads]
        rate *= {1: 1.0, 2: 1.1, 4: 1.1}[setting.instances]
        rate *= float(min(setting.max_rows, 32) ** 0.1)
        rate *= 1.3 if setting.precision.startswith("int8") else 1.0
        return rate * (0.8 if setting.spinning else 1.0)

    def measure(self, setting: Setting, report: Report | None = None) -> Measured:
        """What *setting* gives, window after window."""
        self.tried.append(setting)
        if setting.precision == self._refuse:
            return Measured(refused="it answers otherwise.")
        rate = self.truth(setting) * (1 + self._random.gauss(0, self._noise))
        for step, share in enumerate((0.5, 0.65, 0.8, 0.9)):
            if report is not None and not report(step, share * rate):
                self.stopped += 1
                return Measured(throughput=share * rate, latency=0.01, memory=1 << 20, pruned=True)
        memory = (64 << 20) * setting.replicas
        return Measured(throughput=0.9 * rate, latency=0.01, memory=memory, accuracy=0.99)
