# SPDX-License-Identifier: Apache-2.0
"""Snapshots merge by the rule of each family and render as Prometheus reads them."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import Telemetry, merge, render
from gateway.telemetry.snapshot import FamilySnapshot, Snapshot, decode, without_gauges


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What a Prometheus server would store: value by name and sorted labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_counters_and_histograms_add_up_over_processes() -> None:
    """The sum of two processes is what one process would have counted."""
    both = Telemetry(["digits"])
    apart = [Telemetry(["digits"], process=f"gateway-{index}") for index in range(2)]
    for number, seconds in enumerate((0.0001220703125, 0.00390625, 0.25, 99.0)):
        for telemetry in (both, apart[number % 2]):
            telemetry.requests.cell("digits", "v2", "200").value += 1
            telemetry.request_seconds.cell("digits").observe(seconds)

    merged = samples(render(merge(one.take() for one in apart)))

    assert merged == samples(render(both.take()))
    assert merged["infergate_requests_total",
                  (("code", "200"), ("model", "digits"), ("protocol", "v2"))] == 4  # fmt: skip


def test_a_gauge_adds_or_takes_the_most_as_it_declares() -> None:
    """Queues of two processes add; the generation of their configuration does not."""
    one, two = Telemetry(["digits"]), Telemetry(["digits"])
    for telemetry, rows, generation in ((one, 3, 2), (two, 4, 1)):
        telemetry.queued_rows.cell("digits").value = rows
        telemetry.config_generation.cell().value = generation

    merged = samples(render(merge([one.take(), two.take()])))

    assert merged["infergate_queued_rows", (("model", "digits"),)] == 7
    assert merged["infergate_config_generation", ()] == 2


def test_buckets_are_cumulative_and_end_with_the_count() -> None:
    """Each bucket holds all that is at or below its limit; ``+Inf`` holds everything."""
    telemetry = Telemetry(["digits"])
    cell = telemetry.batch_rows.cell("digits")
    for rows in (1, 2, 2, 5000):
        cell.observe(rows)

    rendered = samples(render(telemetry.take()))

    def bucket(limit: str) -> float:
        return rendered["infergate_batch_rows_bucket", (("le", limit), ("model", "digits"))]

    assert [bucket(limit) for limit in ("1.0", "2.0", "4.0", "1024.0", "+Inf")] == [1, 3, 3, 3, 4]
    assert rendered["infergate_batch_rows_count", (("model", "digits"),)] == 4
    assert rendered["infergate_batch_rows_sum", (("model", "digits"),)] == 5005


def test_every_family_has_help_and_type() -> None:
    """An operator who reads the text sees what each metric means, also before it has a sample."""
    telemetry = Telemetry()
    text = render(telemetry.take()).decode()

    for name, family in telemetry.families.items():
        assert f"# HELP {name} {family.help}" in text
        assert f"# TYPE {name} {family.kind}" in text


@given(st.text(min_size=1).filter(lambda name: "\r" not in name))
def test_any_label_value_survives_rendering(name: str) -> None:
    """Quotes, backslashes and line ends in a name neither break the text nor change the value."""
    telemetry = Telemetry([name])
    telemetry.collapsed.cell(name).value += 1

    rendered = render(telemetry.take()).decode("utf-8", "surrogatepass")

    values = [
        sample.labels["model"]
        for family in text_string_to_metric_families(rendered)
        for sample in family.samples
        if sample.name == "infergate_collapsed_total"
    ]
    assert values == [name]


def test_samples_that_do_not_fit_the_first_shape_are_left_out() -> None:
    """During a rolling change of versions a merged histogram stays consistent."""

    def snapshot(bounds: tuple[float, ...]) -> Snapshot:
        numbers = [1.0] * (len(bounds) + 2)
        family = FamilySnapshot("x", "histogram", "", (), "sum", bounds, [((), numbers)])
        return Snapshot("p", 1, 0.0, [family])

    merged = merge([snapshot((1.0, 2.0)), snapshot((1.0,)), snapshot((1.0, 2.0))])

    assert merged.families[0].samples == [((), [2.0, 2.0, 2.0, 2.0])]


def test_merging_does_not_change_its_parts() -> None:
    """A snapshot can be merged again."""
    telemetry = Telemetry(["digits"])
    telemetry.collapsed.cell("digits").value += 1
    part = telemetry.take()

    merge([part, part])

    assert (
        samples(render(merge([part, part])))["infergate_collapsed_total", (("model", "digits"),)]
        == 2
    )


def test_without_gauges_keeps_what_was_counted() -> None:
    """A dead process holds nothing, but what it did stays done."""
    telemetry = Telemetry(["digits"])
    telemetry.collapsed.cell("digits").value += 1
    telemetry.queued_rows.cell("digits").value = 9

    left = samples(render(without_gauges(telemetry.take())))

    assert left["infergate_collapsed_total", (("model", "digits"),)] == 1
    assert ("infergate_queued_rows", (("model", "digits"),)) not in left


def test_a_snapshot_survives_its_encoding() -> None:
    """What a sibling reads from the file is what was taken."""
    telemetry = Telemetry(["digits"], process="gateway-3")
    telemetry.requests.cell("digits", "v1", "400").value += 2
    telemetry.cache_seconds.cell("memory").observe(0.5)

    read = decode(telemetry.snapshot())

    assert read.process == "gateway-3"
    assert read.families == telemetry.take().families
    assert read.families[0].samples == [(("digits", "v1", "400"), [2.0])]
