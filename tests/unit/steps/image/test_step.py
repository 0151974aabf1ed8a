# SPDX-License-Identifier: Apache-2.0
"""The section ``image``: what it takes, and which models it fits."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import msgspec
import pytest

from gateway.errors import ConfigError
from gateway.steps import bind_inputs, client_info, digest
from gateway.steps.image import step as module
from gateway.wire.model import ModelInfo, TensorSpec
from tests.support.steps import input_step, model, takes

NCHW = takes("FP32", -1, 3, 8, 8)


def seen(info: ModelInfo, **options: Any) -> TensorSpec:
    """What clients see of the input of *info* with the step in front."""
    options.setdefault("normalize", "unit")
    (spec,) = client_info(info, [input_step("image", **options)]).inputs
    return spec


@pytest.mark.parametrize(
    ("info", "options", "shape"),
    [
        (NCHW, {"resize": {"exact": 8}}, (-1,)),
        (NCHW, {}, (-1,)),
        (takes("FP32", -1, 3, -1, -1), {"crop": [8, 9]}, (-1,)),
        (takes("FP16", -1, 8, 9, 3), {"crop": [8, 9], "layout": "nhwc"}, (-1,)),
        (takes("UINT8", -1, 1, 8, 8), {"color": "gray", "normalize": "none"}, (-1,)),
        (takes("FP64", 3, 8, 8), {}, (1,)),
        (takes("FP32", 4, 3, 8, 8), {}, (4,)),
        (takes("FP32", -1, 3, 8, 8), {"resize": {"shorter": 9}, "crop": 8}, (-1,)),
    ],
)
def test_clients_send_an_element_a_row(
    info: ModelInfo, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """As many as the model takes."""
    assert seen(info, **options) == TensorSpec("x", "BYTES", shape)


@pytest.mark.parametrize(
    ("info", "options", "said"),
    [
        (
            takes("FP32", -1, 3, 224, 224),
            {"resize": {"exact": 256}},
            r"it gives \[-1, 3, 256, 256\] \(nchw, rgb\), but input 'x' is \[-1, 3, 224, 224\]",
        ),
        (NCHW, {"layout": "nhwc", "crop": 8}, r"gives \[-1, 8, 8, 3\] \(nhwc, rgb\), but"),
        (NCHW, {"color": "gray"}, r"gives \[-1, 1, 8, 8\] \(nchw, gray\), but"),
        (
            takes("FP32", -1, 3, -1, -1),
            {},
            r"gives \[-1, 3, \?, \?\].*neither resize nor crop gives a size",
        ),
        (takes("FP32", -1, 192), {"crop": 8}, r"is \[-1, 192\] behind it"),
        (takes("FP32", -1, 8, 8), {"crop": 8}, r"is \[-1, 8, 8\] behind it"),
        (takes("INT64", -1, 3, 8, 8), {}, "is INT64 behind it; it gives FP16, FP32, FP64, UINT8"),
        (takes("UINT8", -1, 3, 8, 8), {}, "expected normalize: none, it is unit"),
    ],
)
def test_a_model_that_it_does_not_fit_is_refused(
    info: ModelInfo, options: dict[str, Any], said: str
) -> None:
    """With what it found and what would be right."""
    with pytest.raises(ConfigError, match=r"preprocess\[0\] image: .*" + said):
        seen(info, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resize": {}}, "exactly one of shorter, exact and letterbox must be set, found none"),
        ({"resize": {"shorter": 8, "exact": 8}, "crop": 8}, "found shorter and exact"),
        ({"resize": {"shorter": 8}}, "resize.shorter leaves the longer side open: add crop"),
        ({"resize": {"exact": [8]}}, r"exact: expected one number or \[height, width\], got \[8\]"),
        ({"resize": {"letterbox": 0}}, r"letterbox: expected 1 to 65535 pixels, got \[0, 0\]"),
        ({"crop": [8, 70000]}, "crop: expected 1 to 65535 pixels"),
        ({"resize": {"exact": 8, "filter": "area"}}, "pil has no 'area'; expected one of nearest"),
        (
            {"resize": {"exact": 8, "filter": "hamming"}, "library": "opencv"},
            "opencv has no 'hamming'",
        ),
        ({"resize": {"exact": 8, "pad": [1, 2]}}, "resize.pad: expected 1 or 3 numbers"),
        ({"jpeg_scaling": True}, "jpeg_scaling needs resize"),
        ({"alpha": [1, 2]}, r"alpha: expected \[red, green, blue\], got \[1, 2\]"),
        ({"normalize": "custom"}, "needs at least one of scale, mean and std"),
        ({"scale": 2}, "belong to normalize: custom, it is unit"),
        ({"normalize": "custom", "mean": [1, 2]}, "mean: expected 1 or 3 numbers"),
        ({"normalize": "custom", "std": [1, 0, 1]}, "std must not be 0"),
        ({"normalize": "custom", "scale": float("inf")}, "scale must be a finite number"),
        ({"normalize": "imagenet", "color": "gray"}, "numbers for red, green and blue"),
        ({"formats": ["gif"]}, "gif"),
        ({"formats": []}, "length >= 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    """Before any model is looked at."""
    with pytest.raises(msgspec.ValidationError, match=said):
        input_step("image", **{"normalize": "unit", **options})


def test_how_pixels_become_numbers_must_be_said() -> None:
    """There is no default that would not be wrong for half of all models."""
    with pytest.raises(msgspec.ValidationError, match="normalize"):
        input_step("image")


@pytest.mark.parametrize(
    ("module_name", "library", "extra"),
    [("PIL", "pil", "image"), ("simplejpeg", "pil", "image"), ("cv2", "opencv", "opencv")],
)
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, module_name: str, library: str, extra: str
) -> None:
    """By the check of the configuration, not by the first picture."""
    there = find_spec
    monkeypatch.setattr(
        module, "find_spec", lambda name: None if name == module_name else there(name)
    )
    with pytest.raises(msgspec.ValidationError, match=rf"pip install 'infergate\[{extra}\]'"):
        input_step("image", normalize="unit", library=library)


def test_one_of_several_inputs_is_made_of_pictures() -> None:
    """The others stay as they are."""
    info = model(inputs=(TensorSpec("p", "FP32", (-1, 3, 8, 8)), TensorSpec("q", "FP32", (-1, 2))))
    step = input_step("image", input="p", normalize="unit")

    assert client_info(info, [step]).inputs == (
        TensorSpec("p", "BYTES", (-1,)),
        TensorSpec("q", "FP32", (-1, 2)),
    )
    bind_inputs(info, [step])
    with pytest.raises(ConfigError, match="say which 'input' is meant"):
        client_info(info, [input_step("image", normalize="unit")])


def test_digest_depends_on_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another decoder may round otherwise, and must not meet old answers."""
    step = input_step("image", normalize="unit")
    before = digest([step])
    monkeypatch.setattr(module, "version", lambda name: "0.0")
    assert digest([step]) != before
