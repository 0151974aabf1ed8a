# SPDX-License-Identifier: Apache-2.0
"""Watch: learns, counts in windows over processes, and goes on after a restart."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.quality.drift.reference import Reference
from gateway.quality.drift.watch import Watch, features_in
from gateway.wire.samples import LENGTH, Observed, decode, encode

NOW = 1_700_000_000.0


def observed(
    rng: np.random.Generator, rows: int, *, at: float = NOW, shift: float = 0.0
) -> Observed:
    """What a gateway process sends: two columns and a text."""
    values = rng.normal(size=(rows, 2)).astype(np.float32)
    values[:, 1] += shift
    return Observed(
        model="m",
        at=at,
        seen=rows * 3,
        number_names=["x[0]", "x[1]"],
        numbers=values,
        text_names=["kind"],
        texts=[rng.choice(["a", "b"], rows).tolist()],
        confidence=np.full(rows, 0.9, np.float32),
    )


def test_a_message_survives_the_way() -> None:
    """With its texts and its confidence; columns that do not belong together are refused."""
    sent = observed(np.random.default_rng(0), 5)
    got = decode(encode(sent)[LENGTH.size :])
    assert isinstance(got, Observed)
    assert got.numbers.tolist() == sent.numbers.tolist()
    assert (got.texts, got.seen, got.at) == (sent.texts, 15, NOW)
    with pytest.raises(ValueError, match="columns of"):
        Observed(
            model="m", at=0.0, seen=1, number_names=[], numbers=np.zeros((2, 0)),
            text_names=["t"], texts=[["a"]],
        )  # fmt: skip


def test_the_first_rows_are_the_reference() -> None:
    """Nothing is said before they are there; what comes after is held beside them."""
    rng = np.random.default_rng(1)
    watch = Watch("m", learn_rows=1000)
    watch.take(observed(rng, 600), now=NOW)
    assert (watch.learning, watch.verdict("1h", now=NOW)) == ((600, 1000), None)
    watch.take(observed(rng, 600), now=NOW)
    assert watch.learning is None
    for _ in range(5):
        watch.take(observed(rng, 400), now=NOW)
    calm = watch.verdict("1h", now=NOW + 60)
    assert calm is not None
    assert (calm.state, calm.rows, calm.reference_rows) == ("calm", 2000, 1200)
    assert "the first 1200 rows" in calm.sentence
    assert (watch.seen, watch.looked_at) == (9600, 3200)


def test_windows_forget_what_is_older() -> None:
    """A shift of an hour is over an hour later, and still in the day."""
    rng = np.random.default_rng(2)
    reference = Reference.fit("m", features_in(observed(rng, 5000)), source="data", made=NOW)
    watch = Watch("m", reference=reference)
    watch.take(observed(rng, 1000, shift=2.0), now=NOW)
    later = NOW + 2 * 3600
    watch.take(observed(rng, 1000, at=later), now=later)
    hour, day = (watch.verdict(window, now=later + 60) for window in ("1h", "24h"))
    assert hour is not None
    assert day is not None
    assert (hour.state, hour.rows) == ("calm", 1000)
    assert (day.state, day.rows) == ("alarm", 2000)
    assert [each.name for each in day.features if each.alarm] == ["x[1]"]


def test_rows_of_several_processes_are_one() -> None:
    """In whatever order they come."""
    rng = np.random.default_rng(3)
    reference = Reference.fit("m", features_in(observed(rng, 5000)), source="data", made=NOW)
    messages = [observed(rng, 300, at=NOW + place) for place in range(4)]
    verdicts = []
    for order in (messages, messages[::-1]):
        watch = Watch("m", reference=reference)
        for message in order:
            watch.take(message, now=NOW + 10)
        verdicts.append(watch.verdict("1h", now=NOW + 10))
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize("learned", [True, False])
def test_a_restart_goes_on(learned: bool) -> None:  # noqa: FBT001 - a case
    """With the reference that was learned, or the one of the same file."""
    rng = np.random.default_rng(4)
    reference = Reference.fit("m", features_in(observed(rng, 1000)), source="data", made=NOW)
    given = None if learned else reference
    watch = Watch("m", reference=given, learn_rows=500)
    for _ in range(3):
        watch.take(observed(rng, 500, shift=0.1), now=NOW)
    packed = watch.pack()
    after = Watch("m", reference=given, learn_rows=500)
    assert after.restore(packed)
    assert after.verdict("1h", now=NOW) == watch.verdict("1h", now=NOW)
    assert after.pack() == packed


def test_another_reference_begins_anew() -> None:
    """What was counted in other bins says nothing; neither does what cannot be read."""
    rng = np.random.default_rng(5)
    one, two = (
        Reference.fit("m", features_in(observed(rng, 1000)), source="data", made=NOW)
        for _ in range(2)
    )
    watch = Watch("m", reference=one)
    watch.take(observed(rng, 300), now=NOW)
    assert not Watch("m", reference=two).restore(watch.pack())
    assert not Watch("m").restore(b"\x01")
    assert not Watch("m", wanted=("x[0]",)).restore(watch.pack())
    assert Watch("m").pack() == b""


@pytest.mark.parametrize(
    ("rows", "before", "quantile"),
    [(200, 1000, 0.10), (1000, 1000, 0.034), (10_000, 10_000, 0.0034)],
)
def test_thresholds_know_the_rows_of_both_sides(rows: int, before: int, quantile: float) -> None:
    """The 95 % quantiles that chance gives in ten bins: 0.1 is one for 200 rows beside 1,000."""
    rng = np.random.default_rng(6)
    reference = Reference.fit("m", features_in(observed(rng, before)), source="data", made=NOW)
    watch = Watch("m", reference=reference, floor=1e-9)
    watch.take(observed(rng, rows), now=NOW)
    verdict = watch.verdict("1h", now=NOW)
    assert verdict is not None
    (column,) = [each for each in verdict.features if each.name == "x[0]"]
    assert column.tests["psi"].threshold == pytest.approx(quantile, rel=0.03)
