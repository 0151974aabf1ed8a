# SPDX-License-Identifier: Apache-2.0
"""Golden answers: an unchanged model flips nothing, one changed row is seen, noise is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.quality.probes.golden import Golden, changed_rows, compare, golden_of
from gateway.wire.tensor import Array, Tensor

N = 50


def scores(seed: int = 0, rows: int = N) -> Array:
    """Probabilities of four classes, in float32."""
    raw = np.random.default_rng(seed).normal(size=(rows, 4)) * 2
    exponent = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True), np.float32)


def outputs(values: Array) -> tuple[Tensor, ...]:
    """A label and the scores behind it."""
    return (
        Tensor.of("label", values.argmax(axis=1).astype(np.int64)),
        Tensor.of("scores", values),
    )


def test_an_unchanged_model_has_no_flips() -> None:
    """Acceptance: whatever the rows, equal answers are equal."""
    for seed in range(20):
        values = scores(seed)
        golden = golden_of("d", 0.0, outputs(values), outputs(values))
        assert compare(golden, outputs(values)).same


@given(row=st.integers(0, N - 1))
def test_one_changed_row_is_seen_at_once(row: int) -> None:
    """Acceptance: n = 1 is enough, and the row is named."""
    values = scores(1)
    golden = golden_of("d", 0.0, outputs(values), outputs(values))
    other = values.copy()
    other[row] = np.roll(other[row], 1)
    change = compare(golden, outputs(other))
    assert (change.flipped, change.moved, change.first) == (1, 0, (row,))
    assert change.wrong
    assert changed_rows(golden, outputs(other)) == [row]


def test_float_noise_is_no_change() -> None:
    """Other threads and batch sizes differ in the last places; a whole per mille is a move."""
    values = scores(2)
    golden = golden_of("d", 0.0, outputs(values), outputs(values))
    rng = np.random.default_rng(3)
    noisy = (values * (1 + rng.normal(size=values.shape) * 2e-7)).astype(np.float32)
    assert compare(golden, (outputs(values)[0], Tensor.of("scores", noisy))).same
    off = (values * 1.001).astype(np.float32)
    change = compare(golden, outputs(off))
    assert (change.flipped, change.moved, change.wrong) == (0, N, False)
    assert change.largest == pytest.approx(0.001 * values.max(), rel=1e-3)


def test_noise_that_was_measured_is_allowed_for() -> None:
    """What the same endpoint gives in other company is no news, up to four times of it."""
    values = scores(4)
    again = (values + np.float32(1e-4)).astype(np.float32)
    golden = golden_of("d", 0.0, outputs(values), outputs(again))
    assert golden.noise["scores"] == pytest.approx(1e-4, rel=1e-2)
    assert compare(golden, outputs((values + np.float32(3e-4)).astype(np.float32))).same
    assert compare(golden, outputs((values + np.float32(6e-4)).astype(np.float32))).moved == N


def test_a_tie_may_fall_either_way() -> None:
    """Two scores within the noise are a matter of chance; the label that goes with them too."""
    values = scores(5)
    values[7] = [0.5, 0.5, 0.0, 0.0]
    golden = golden_of("d", 0.0, outputs(values), outputs(values))
    assert golden.ties == (7,)
    other = values.copy()
    other[7] = [np.nextafter(np.float32(0.5), np.float32(0)), 0.5, 0.0, 0.0]
    assert other[7].argmax() != values[7].argmax()
    assert compare(golden, outputs(other)).same
    # Far off it is a flip all the same.
    other[7] = [0.1, 0.8, 0.1, 0.0]
    assert compare(golden, outputs(other)).flipped == 1


def test_a_model_that_is_not_deterministic_has_ties() -> None:
    """Rows whose label differs between two answers can say nothing of a change."""
    label = np.arange(N, dtype=np.int64)
    again = label.copy()
    again[3] += 1
    golden = golden_of("d", 0.0, (Tensor.of("y", label),), (Tensor.of("y", again),))
    assert golden.ties == (3,)
    assert compare(golden, (Tensor.of("y", again),)).same
    again[4] += 1
    assert compare(golden, (Tensor.of("y", again),)).flipped == 1


def test_numbers_alone_flip_when_they_move() -> None:
    """A regression has no verdict but its number."""
    values = np.linspace(-5, 1000, N, dtype=np.float32)[:, None]
    golden = golden_of("d", 0.0, (Tensor.of("y", values),), (Tensor.of("y", values),))
    other = values.copy()
    other[9] *= 1.01
    change = compare(golden, (Tensor.of("y", other),))
    assert (change.flipped, change.moved, change.first) == (1, 0, (9,))


def test_what_is_not_a_number_is_the_same_only_as_itself() -> None:
    """NaN beside NaN is no change; beside a number it is infinitely far."""
    values = np.array([[np.nan, 1.0], [2.0, 1.0]], np.float32)
    golden = golden_of("d", 0.0, (Tensor.of("y", values),), (Tensor.of("y", values),))
    assert compare(golden, (Tensor.of("y", values),)).same
    other = np.array([[np.nan, 1.0], [np.nan, 1.0]], np.float32)
    change = compare(golden, (Tensor.of("y", other),))
    assert (change.flipped, change.largest) == (1, None)


@pytest.mark.parametrize(
    ("given_", "fault"),
    [
        ((), "there is no output 'label' any more"),
        (
            (Tensor.of("label", np.zeros((N, 1), np.int64)),),
            f"output 'label' is INT64[{N}, 1] now, not INT64[{N}]",
        ),
    ],
)
def test_outputs_of_another_form_cannot_be_compared(given_: tuple[Tensor, ...], fault: str) -> None:
    """It says which, and that is wrong."""
    values = scores(6)
    golden = golden_of("d", 0.0, outputs(values)[:1])
    change = compare(golden, given_)
    assert (change.fault, change.wrong, change.same) == (fault, True, False)
    assert changed_rows(golden, given_) == []


def test_golden_answers_survive_being_kept() -> None:
    """All of them; anything else is refused."""
    texts = Tensor.of("name", np.asarray(["a", "bc"] * (N // 2)))
    golden = golden_of("d", 1.5, (*outputs(scores(7)), texts), outputs(scores(7)))
    back = Golden.unpack(golden.pack())
    assert (back.digest, back.at, back.noise, back.ties) == ("d", 1.5, golden.noise, golden.ties)
    assert compare(back, golden.outputs).same
    with pytest.raises(ValueError, match="no golden answers"):
        Golden.unpack(b"\x01")
