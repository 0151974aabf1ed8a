# SPDX-License-Identifier: Apache-2.0
"""Windows, rolling statistics, resampling, spectra: against scipy and against plain loops."""

from __future__ import annotations

from math import ceil, gcd
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError, InvalidRequest
from gateway.steps import bind_inputs, client_info
from gateway.steps.mel import filters, to_hertz, to_mel
from gateway.wire.tensor import Tensor
from tests.support.steps import input_step, takes

if TYPE_CHECKING:
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Array


def series(rows: int, length: int, seed: int = 0) -> Array:
    """Rows of noise."""
    return np.random.default_rng(seed).normal(0, 1, (rows, length))


def made(info: ModelInfo, name: str, values: Array, **fields: Any) -> Array:
    """What the step *name* makes of *values* for the model *info*."""
    (tensor,) = bind_inputs(info, [input_step(name, **fields)])((Tensor.of("x", values),))
    return tensor.array()


@given(
    length=st.integers(1, 60),
    size=st.integers(1, 20),
    hop=st.integers(0, 25),
    last=st.sampled_from(["drop", "pad"]),
)
def test_windows_are_slices(length: int, size: int, hop: int, last: str) -> None:
    """One every hop, the last one dropped or filled up."""
    values = series(2, length)
    options = {"size": size, "hop": hop, "last": last, "pad_value": 9}
    if last == "drop" and length < size:
        with pytest.raises(InvalidRequest, match="too short"):
            made(takes("FP64", -1, -1, size), "window", values, **options)
        return
    found = made(takes("FP64", -1, -1, size), "window", values, **options)
    hop = hop or size
    expected, start = [], 0
    while start + size <= length or (last == "pad" and (start == 0 or start + size - hop < length)):
        part = values[:, start : start + size]
        expected.append(np.pad(part, [(0, 0), (0, size - part.shape[1])], constant_values=9))
        start += hop
    np.testing.assert_array_equal(found, np.stack(expected, axis=1))


@given(
    length=st.integers(1, 30),
    window=st.integers(1, 12),
    least=st.integers(0, 12),
    ddof=st.integers(0, 1),
    holes=st.sets(st.integers(0, 29)),
)
def test_rolling_statistics_are_those_of_every_window(
    length: int, window: int, least: int, ddof: int, holes: set[int]
) -> None:
    """What is missing is left out; too few numbers give NaN."""
    least = min(least, window)
    values = series(1, length)
    for hole in holes:
        if hole < length:
            values[0, hole] = [np.nan, np.inf, -np.inf][hole % 3]
    found = made(
        takes("FP64", -1, -1, 4),
        "rolling",
        values,
        window=window,
        statistics=["mean", "std", "min", "max"],
        min_periods=least,
        ddof=ddof,
    )[0]
    for at in range(length):
        part = values[0, max(0, at - window + 1) : at + 1]
        part = part[np.isfinite(part)]
        expected = [np.nan] * 4
        if part.size >= (least or window) and part.size:
            std = part.std(ddof=ddof) if part.size > ddof else np.nan
            expected = [part.mean(), std, part.min(), part.max()]
        np.testing.assert_allclose(found[at], expected, atol=1e-12)


def test_rolling_without_an_edge_begins_with_the_first_full_window() -> None:
    """And is as much shorter."""
    info = takes("FP64", -1, 8, 1)
    step = input_step("rolling", window=3, statistics=["mean"], edge="drop")
    assert client_info(info, [step]).inputs[0].shape == (-1, 10)
    values = series(3, 10)
    found = made(info, "rolling", values, window=3, statistics=["mean"], edge="drop")
    expected = np.lib.stride_tricks.sliding_window_view(values, 3, axis=-1).mean(-1)
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-12)


@given(
    length=st.integers(1, 300),
    before=st.sampled_from([1, 2, 3, 8, 147, 160, 441, 44100, 48000]),
    after=st.sampled_from([1, 2, 5, 7, 147, 160, 320, 8000, 16000]),
)
@settings(max_examples=60)
def test_resampling_is_that_of_scipy(length: int, before: int, after: int) -> None:
    """Up, down, and by ratios of large numbers."""
    values = series(2, length)
    if max(before, after) // gcd(before, after) > 2048:
        return
    expected = scipy.signal.resample_poly(values, after, before, axis=-1)
    found = made(takes("FP64", -1, -1), "resample", values, **{"from": before, "to": after})
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_resampling_asks_for_the_length_that_gives_the_models() -> None:
    """Where the model's is fixed."""
    for before, after, wanted in ((44100, 16000, 16000), (8000, 16000, 32), (3, 2, 9)):
        step = input_step("resample", **{"from": before, "to": after})
        (spec,) = client_info(takes("FP32", -1, wanted), [step]).inputs
        assert ceil(spec.shape[1] * after / before) == wanted
    with pytest.raises(ConfigError, match="no series has 33 samples"):
        client_info(takes("FP32", -1, 33), [input_step("resample", **{"from": 8000, "to": 16000})])


@pytest.mark.parametrize("size", [2, 15, 16, 400])
@pytest.mark.parametrize("taper", ["none", "hann"])
@pytest.mark.parametrize("of", ["magnitude", "power"])
def test_magnitudes_are_those_of_a_discrete_transform(size: int, taper: str, of: str) -> None:
    """As the sum over the samples has it."""
    values = series(3, size)
    weights = scipy.signal.get_window("hann", size) if taper == "hann" else np.ones(size)
    turns = np.outer(np.arange(size), np.arange(size // 2 + 1)) / size
    expected = np.abs((values * weights) @ np.exp(-2j * np.pi * turns))
    if of == "power":
        expected **= 2
    info = takes("FP64", -1, size // 2 + 1)
    found = made(info, "fft_magnitude", values, size=size, taper=taper, of=of)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_mel_scales_have_their_published_points() -> None:
    """1 kHz is 15 or 1000 mel; both ways are inverse to each other."""
    assert to_mel(np.array([1000.0]), "slaney")[0] == pytest.approx(15)
    assert to_mel(np.array([6400.0]), "slaney")[0] == pytest.approx(42)
    assert to_mel(np.array([1000.0]), "htk")[0] == pytest.approx(999.9855, abs=1e-4)
    hertz = np.linspace(0, 8000, 101)
    for scale in ("slaney", "htk"):
        np.testing.assert_allclose(to_hertz(to_mel(hertz, scale), scale), hertz, atol=1e-8)


def test_filters_are_triangles_of_equal_area_or_height() -> None:
    """Each has its peak where its neighbours end."""
    tall = filters(rate=16000, size=4096, bands=20, lowest=0, highest=8000, scale="htk", area=False)
    assert tall.max() <= 1
    assert (tall.max(axis=0) > 0.9).all()
    inside = (tall.sum(axis=1) > 0) & (np.arange(2049) < 1700) & (np.arange(2049) > 40)
    np.testing.assert_allclose(tall.sum(axis=1)[inside], 1, atol=1e-9)
    even = filters(rate=16000, size=4096, bands=20, lowest=0, highest=8000, scale="htk", area=True)
    np.testing.assert_allclose(even.sum(axis=0) * 16000 / 4096, 1, rtol=0.01)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(
    ("log", "function"),
    [("ln", np.log), ("log10", np.log10), ("db", lambda e: 10 * np.log10(e))],
)
def test_a_spectrogram_is_that_of_scipy(center: bool, log: str, function: Any) -> None:  # noqa: FBT001
    """Its short-time transform, gathered by the filters."""
    sound = series(2, 2000)
    window = scipy.signal.get_window("hann", 400)
    given = np.pad(sound, [(0, 0), (200, 200)], mode="reflect") if center else sound
    frames = 1 + (given.shape[1] - 400) // 160
    expected = []
    weights = filters(
        rate=16000, size=400, bands=40, lowest=20, highest=7600, scale="slaney", area=True
    )
    for row in given:
        _, _, bins = scipy.signal.spectrogram(
            row, 16000, window=window, nperseg=400, noverlap=240, detrend=False,
            scaling="spectrum", mode="complex",
        )  # fmt: skip
        energy = np.abs(bins * window.sum()) ** 2
        assert energy.shape == (201, frames)
        expected.append(function(np.maximum(weights.T @ energy, 1e-10)))
    found = made(
        takes("FP64", -1, 40, -1),
        "log_mel",
        sound,
        bands=40, f_min=20, f_max=7600, center=center, log=log,
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_whispers_spectrogram_follows_from_the_plain_one() -> None:
    """Without its last frame, raised to within 8 of the loudest, moved and scaled."""
    sound = np.concatenate([series(2, 3200), np.zeros((2, 3200))], axis=1)
    plain = made(takes("FP64", -1, 80, -1), "log_mel", sound)
    found = made(takes("FP64", -1, 80, -1), "log_mel", sound, log="whisper")
    kept = plain[..., :-1]
    loudest = kept.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found, (np.maximum(kept, loudest - 8) + 4) / 4, atol=1e-12)
    assert (plain.min(), found.shape) == (-10, (2, 80, 40))


@pytest.mark.parametrize("by", ["standard", "peak", "min_max"])
@pytest.mark.parametrize("over", ["row", "last"])
def test_rows_are_normalised_by_numbers_of_their_own(by: str, over: str) -> None:
    """All of a row, or each of its last dimension; a flat one gives no infinity."""
    values = np.stack([series(3, 50), 5 + 10 * series(3, 50, 1), np.full((3, 50), 7.0)])
    found = made(takes("FP64", -1, 3, 50), "normalize_row", values, by=by, over=over)
    axes = (1, 2) if over == "row" else (2,)
    if by == "standard":
        assert np.abs(found.mean(axis=axes)).max() < 1e-12
        np.testing.assert_allclose(found[:2].std(axis=axes), 1, atol=1e-4)
    elif by == "peak":
        np.testing.assert_allclose(np.abs(found).max(axis=axes), 1)
    else:
        np.testing.assert_allclose(found[:2].min(axis=axes), 0)
        np.testing.assert_allclose(found[:2].max(axis=axes), 1)
    assert np.isfinite(found).all()


# Of the length at which numpy's sums and BLAS change their ways.
WIDE: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "window": ({"size": 512, "hop": 100}, (-1, -1, 512)),
    "rolling": ({"window": 24, "statistics": ["mean", "std", "min", "max"]}, (-1, -1, 4)),
    "resample": ({"from": 44100, "to": 16000}, (-1, -1)),
    "log_mel": ({}, (-1, 80, -1)),
    "normalize_row": ({}, (-1, -1)),
}


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_a_row_of_a_large_batch_is_the_same_alone(name: str, datatype: str) -> None:
    """Bit for bit."""
    options, shape = WIDE[name]
    values = series(33, 4001).astype(np.float32 if datatype == "FP32" else np.float64)
    together = made(takes(datatype, *shape), name, values, **options)
    for row in (0, 7, 32):
        alone = made(takes(datatype, *shape), name, values[row : row + 1], **options)
        assert alone[0].tobytes() == together[row].tobytes()


@pytest.mark.parametrize(
    ("name", "fields", "shape", "given", "part"),
    [
        ("window", {"size": 4}, (-1, 3, 4), (2, 8), r"makes \[2, 2, 4\]"),
        ("window", {"size": 4}, (-1, -1, 4), (2, 3), "3 samples is too short"),
        ("window", {"size": 20000, "hop": 1}, (-1, -1, 20000), (1, 60000), "at most"),
        ("rolling", {"window": 2, "statistics": ["min"]}, (-1, 5, 1), (1, 4), r"\[-1, 5\]"),
        ("fft_magnitude", {"size": 8}, (-1, 5), (1, 9), r"\[-1, 8\] expected"),
        ("log_mel", {}, (-1, 80, -1), (1, 200), "too short for frames of 400; at least 201"),
        ("log_mel", {"n_fft": 131072, "hop": 1}, (-1, 80, -1), (1, 70000), "at most"),
        ("resample", {"from": 1, "to": 2000}, (-1, -1), (1, 500_000), "at most"),
        ("normalize_row", {}, (-1, 3), (1,), "shape"),
    ],
)
def test_a_series_that_does_not_fit_is_refused(
    name: str, fields: dict[str, Any], shape: tuple[int, ...], given: tuple[int, ...], part: str
) -> None:
    """Before anything large is made."""
    with pytest.raises(InvalidRequest, match=part):
        made(takes("FP32", *shape), name, np.zeros(given, np.float32), **fields)


@pytest.mark.parametrize(
    ("name", "fields", "info", "part"),
    [
        ("window", {"size": 4}, takes("FP32", -1, 5, 3), "windows have 4 samples"),
        ("window", {"size": 4}, takes("FP32", -1, 4), "at least 3 dimensions"),
        ("window", {"size": 4}, takes("INT64", -1, 5, 4), "INT64"),
        ("rolling", {"window": 2, "statistics": ["min"]}, takes("FP32", -1, 9, 2), "1 statistics"),
        ("fft_magnitude", {"size": 8}, takes("FP32", -1, 8), "gives 5 frequencies"),
        ("log_mel", {}, takes("FP32", -1, 40, 100), "gives 80 bands"),
        ("log_mel", {"layout": "frames_first"}, takes("FP32", -1, 80, 100), "80 bands"),
        ("normalize_row", {}, takes("UINT8", -1, 8), "UINT8"),
    ],
)
def test_a_model_that_does_not_fit_is_said_at_the_start(
    name: str, fields: dict[str, Any], info: ModelInfo, part: str
) -> None:
    """With what the step gives and what the model takes."""
    with pytest.raises(ConfigError, match=part):
        client_info(info, [input_step(name, **fields)])


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("rolling", {"window": 2, "statistics": ["min"], "min_periods": 3}),
        ("rolling", {"window": 2, "statistics": ["min", "min"]}),
        ("resample", {"from": 44100, "to": 44101}),
        ("log_mel", {"f_min": 9000}),
        ("log_mel", {"f_max": 9000}),
        ("window", {"size": 2, "pad_value": float("nan")}),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(name: str, fields: dict[str, Any]) -> None:
    """When it is read."""
    with pytest.raises(ValueError, match=r"\w"):
        input_step(name, **fields)
