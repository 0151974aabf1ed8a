# SPDX-License-Identifier: Apache-2.0
"""Page: a search as a report, one HTML file with its Pareto front."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.lab.report.document import Report
from gateway.lab.report.front import Front
from gateway.lab.report.page import html
from gateway.lab.tune.pareto import candidate

if TYPE_CHECKING:
    from gateway.lab.tune.measured import Objective
    from gateway.lab.tune.result import Tuning


def page(tuning: Tuning, objective: Objective) -> str:
    """The file; LabError where plotly is missing."""
    return html(
        Report(
            name=f"{tuning.model}, {len(tuning.trials)} of {tuning.settings} settings",
            kind="tuning",
            made=time(),
            version=__version__,
            front=Front(
                candidates=tuple(candidate(one, tuning.start) for one in tuning.points),
                reason="\n".join(tuning.reasons),
                p99_bound=objective.slo.within,
            ),
        )
    )
