# SPDX-License-Identifier: Apache-2.0
"""Every metric follows the naming rules, and callbacks fill gauges at collection."""

import re

from gateway.telemetry import Telemetry
from gateway.telemetry.snapshot import decode


def test_names_follow_the_rules_of_prometheus() -> None:
    """Counters end in ``_total``, times are in seconds, and nothing else looks like either."""
    for name, family in Telemetry().families.items():
        assert re.fullmatch(r"infergate(_[a-z0-9]+)+", name)
        assert name.endswith("_total") == (family.kind == "counter"), name
        assert "_ms" not in name
        assert family.help.endswith("."), name
        assert len(set(family.labels)) == len(family.labels)
        assert list(family.bounds) == sorted(set(family.bounds))


def test_request_buckets_reach_from_a_tenth_of_a_millisecond_to_half_a_minute() -> None:
    """Both a cached answer and one at the default timeout fall into a bucket of their own."""
    bounds = Telemetry().request_seconds.bounds

    assert bounds[0] == 0.0001
    assert bounds[-1] == 30.0


def test_callbacks_run_before_each_snapshot() -> None:
    """A gauge shows the state at the time of the scrape."""
    telemetry = Telemetry(["digits"])
    cell = telemetry.queued_rows.cell("digits")
    queue = [1, 2, 3]
    telemetry.on_collect(lambda: setattr(cell, "value", len(queue)))

    first = decode(telemetry.snapshot())
    queue.clear()
    second = decode(telemetry.snapshot())

    values = [
        next(family.samples for family in one.families if family.name == "infergate_queued_rows")
        for one in (first, second)
    ]
    assert values == [[(("digits",), [3.0])], [(("digits",), [0.0])]]


def test_resume_takes_counters_and_leaves_gauges() -> None:
    """What was counted stays true after a restart; what was held is gone with the process."""
    before, after = Telemetry(["digits"]), Telemetry(["digits"])
    before.shed.cell("digits", "queue_full").value += 3
    before.request_seconds.cell("digits").observe(0.003)
    before.pending.cell("digits-0").value = 5
    before.process_cpu.cell("gateway-0").value = 60

    after.resume(decode(before.snapshot()))

    assert after.shed.cell("digits", "queue_full").value == 3
    assert sum(after.request_seconds.cell("digits").counts) == 1
    assert after.pending.cells == {}
    assert after.process_cpu.cells == {}


def test_a_callback_that_was_ended_fills_nothing() -> None:
    """The others do."""
    telemetry = Telemetry()
    called: list[str] = []
    end = telemetry.on_collect(lambda: called.append("first"))
    telemetry.on_collect(lambda: called.append("second"))
    end()
    telemetry.take()
    assert called == ["second"]


def test_models_that_are_added_have_series_of_their_own() -> None:
    """Those that are not are unknown."""
    telemetry = Telemetry(["a"])
    telemetry.models |= {"b"}
    for model in ("a", "b", "c"):
        telemetry.queued_rows.cell(model).value = 1
    assert set(telemetry.queued_rows.cells) == {("a",), ("b",), ("unknown",)}


def test_an_endpoint_that_is_gone_leaves_no_series() -> None:
    """In no family, and those of others stay."""
    telemetry = Telemetry(models=["m"])
    for endpoint in ("gone", "here"):
        telemetry.attempts.cell("m", endpoint, "ok").value = 1
        telemetry.upstream_seconds.cell("m", endpoint).observe(1.0)
        telemetry.pending.cell(endpoint).value = 1
        telemetry.endpoint_state.cell(endpoint, "ready").value = 1
        telemetry.ejections.cell(endpoint, "probe").value = 1
    telemetry.retries.cell("m", "gone").value = 1
    telemetry.forget_endpoint("gone")
    left = [values for family in telemetry.families.values() for values in family.cells]
    assert [values for values in left if "gone" in values] == [("m", "gone")]
    assert sum("here" in values for values in left) == 5
