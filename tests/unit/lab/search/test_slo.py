# SPDX-License-Identifier: Apache-2.0
"""What a person writes as an SLO."""

from __future__ import annotations

import pytest

from gateway.lab import LabError
from gateway.lab.search.slo import Bound, Slo


def test_reads_what_a_person_writes() -> None:
    """Percentiles by their order, shares as numbers."""
    slo = Slo.parse("p99.9=1s, p50=500us,errors=0.1%")
    assert slo.bounds == (Bound(0.5, 0.0005), Bound(0.999, 1.0))
    assert slo.errors == 0.001
    assert slo.within == 1.0
    assert str(slo) == "p50 <= 500us, p99.9 <= 1s, errors <= 0.1 %"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p99", "expected name=value, such as p99=20ms,errors=0.1%, got 'p99'"),
        ("p99=20", "SLO p99: expected a time with its unit"),
        ("p99=0", "SLO p99: expected a time above 0"),
        ("q99=1ms", "no 'q99'; expected p50 to p99.9999 or errors"),
        ("p0=1ms", "expected a percentile between 0 and 100"),
        ("errors=1%", "expected a bound of the response time"),
        ("p99=1ms,errors=0", "SLO errors: expected a share between 0 and 1, such as 0.1%"),
        ("p99=1ms,errors=few", "SLO errors: expected a share from 0 to 1"),
    ],
)
def test_says_what_is_wrong(text: str, says: str) -> None:
    """One line that names the part."""
    with pytest.raises(LabError) as caught:
        Slo.parse(text)
    assert says in str(caught.value)
