# SPDX-License-Identifier: Apache-2.0
"""The step beside the libraries that models are trained with, over random pictures.

Equal means every bit: a picture has 256 levels, so what differs at all differs by a level.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from gateway.steps import bind_inputs
from gateway.wire.tensor import Array
from tests.support.pictures import exif, image, jpeg, saved, tensor
from tests.support.steps import input_step, takes

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIL_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
CV2_FILTERS = {
    "nearest": cv2.INTER_NEAREST,
    "nearest_exact": cv2.INTER_NEAREST_EXACT,
    "bilinear": cv2.INTER_LINEAR,
    "bilinear_exact": cv2.INTER_LINEAR_EXACT,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


def run(data: bytes, shape: tuple[int, ...], *, datatype: str = "UINT8", **options: Any) -> Array:
    """What the step makes of the one picture *data*."""
    options.setdefault("normalize", "none")
    step = input_step("image", **options)
    (made,) = bind_inputs(takes(datatype, -1, *shape), [step])((tensor([data]),))
    row: Array = made.array()[0]
    return row


def opened(data: bytes) -> Image.Image:
    """*data* as Pillow opens it."""
    return Image.open(io.BytesIO(data))


def torchvision_sizes(picture: Image.Image, resize: int, crop: int) -> Image.Image:
    """``Resize(resize)`` and ``CenterCrop(crop)`` of torchvision on a Pillow image, written out."""
    width, height = picture.size
    if width <= height:
        size = (resize, int(resize * height / width))
    else:
        size = (int(resize * width / height), resize)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    width, height = picture.size
    if crop > width or crop > height:
        left, top = max(0, (crop - width) // 2), max(0, (crop - height) // 2)
        right = max(0, (crop - width + 1) // 2)
        bottom = max(0, (crop - height + 1) // 2)
        picture = ImageOps.expand(picture, (left, top, right, bottom), 0)
        width, height = picture.size
    top, left = round((height - crop) / 2.0), round((width - crop) / 2.0)
    return picture.crop((left, top, left + crop, top + crop))


def torchvision_values(picture: Image.Image) -> Array:
    """``ToTensor`` and ``Normalize`` of torchvision, written out in float32."""
    planes = np.asarray(picture).astype(np.float32).transpose(2, 0, 1)
    planes /= np.float32(255)
    planes -= np.array(MEAN, np.float32)[:, None, None]
    planes /= np.array(STD, np.float32)[:, None, None]
    return planes


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 120),
    st.integers(1, 120),
    st.integers(0, 2**32),
    st.sampled_from(("JPEG", "PNG")),
)
def test_torchvisions_transforms_are_equal(height: int, width: int, seed: int, kind: str) -> None:
    """Every size and proportion, shrunk and enlarged, with the picture smaller than the crop."""
    data = saved(image(np.random.default_rng(seed), height, width), kind)

    made = run(
        data, (3, 33, 33), datatype="FP32", resize={"shorter": 36}, crop=33, normalize="imagenet"
    )

    expected = torchvision_values(torchvision_sizes(opened(data).convert("RGB"), 36, 33))
    assert np.array_equal(made, expected)


@settings(deadline=None, max_examples=60)
@example(1, 1, 2, 0)
@example(9, 2, 3, 0)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32))
def test_a_crop_alone_is_torchvisions(height: int, width: int, crop: int, seed: int) -> None:
    """Odd differences and padding on either side included."""
    data = saved(image(np.random.default_rng(seed), height, width))

    made = run(data, (crop, crop, 3), crop=crop, layout="nhwc")

    picture = opened(data)
    expected = torchvision_sizes(picture, min(picture.size), crop)
    assert np.array_equal(made, np.asarray(expected))


@pytest.mark.parametrize("name", PIL_FILTERS)
@pytest.mark.parametrize("size", [(7, 9), (64, 50), (150, 131)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pillows_filters_are_equal(name: str, size: tuple[int, int], mode: str) -> None:
    """Each one, down and up, colour and grey."""
    data = saved(image(np.random.default_rng(3), 101, 83, mode))
    grey = mode == "L"

    made = run(
        data,
        (*size, 1 if grey else 3),
        resize={"exact": list(size), "filter": name},
        color="gray" if grey else "rgb",
        layout="nhwc",
    )

    expected = np.asarray(opened(data).resize(size[::-1], PIL_FILTERS[name]))
    assert np.array_equal(made.squeeze(), expected)


@pytest.mark.parametrize("name", CV2_FILTERS)
@pytest.mark.parametrize("size", [(7, 9), (64, 50), (150, 131)])
@pytest.mark.parametrize("color", ["bgr", "gray"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_opencvs_filters_are_equal(name: str, size: tuple[int, int], color: str, kind: str) -> None:
    """Decoded by OpenCV as well: for these formats all use the same rules."""
    data = saved(image(np.random.default_rng(3), 101, 83), kind)
    grey = color == "gray"

    made = run(
        data,
        (*size, 1 if grey else 3),
        library="opencv",
        resize={"exact": list(size), "filter": name},
        color=color,
        layout="nhwc",
    )

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    if grey:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    expected = cv2.resize(pixels, size[::-1], interpolation=CV2_FILTERS[name])
    assert np.array_equal(made.squeeze(), expected)


def test_the_libraries_are_not_each_other() -> None:
    """If they were equal, the tests above would prove nothing; a shrunk picture tells."""
    data = saved(image(np.random.default_rng(3), 300, 300))
    pil, opencv = (
        run(data, (3, 40, 40), library=library, resize={"exact": 40}).astype(int)
        for library in ("pil", "opencv")
    )
    difference = pil - opencv
    assert np.abs(difference).max() > 5


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 20}]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_a_jpeg_is_decoded_as_by_pillow(options: dict[str, Any], mode: str, color: str) -> None:
    """The quick decoder has Pillow's DCT and upsampling; what it does not take goes to Pillow."""
    data = saved(image(np.random.default_rng(5), 67, 91, mode), "JPEG", **options)

    made = run(data, (67, 91, 1 if color == "gray" else 3), color=color, layout="nhwc")

    expected = np.asarray(opened(data).convert("L" if color == "gray" else "RGB"))
    assert np.array_equal(made.squeeze(), expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pictures_are_turned_as_by_pillow(kind: str, turn: int, order: str) -> None:
    """All eight orientations, of each format, in both byte orders."""
    notes = exif(turn, order)
    picture = image(np.random.default_rng(turn), 20, 30)
    data = saved(picture, kind, exif=b"Exif\0\0" + notes if kind == "JPEG" else notes)
    turned = ImageOps.exif_transpose(opened(data)).convert("RGB")

    made = run(data, (turned.height, turned.width, 3), layout="nhwc")
    ignored = run(data, (20, 30, 3), layout="nhwc", orientation="ignore")

    assert np.array_equal(made, np.asarray(turned))
    assert np.array_equal(ignored, np.asarray(opened(data).convert("RGB")))


@pytest.mark.parametrize(("turn", "part"), [(1, 4), (6, 2)])
def test_a_scaled_jpeg_is_pillows_draft(turn: int, part: int) -> None:
    """At a half or a quarter here, which is still as large as what is asked for, once turned."""
    data = jpeg(np.random.default_rng(2), 400, 300, exif=b"Exif\0\0" + exif(turn))
    picture = opened(data)
    picture.draft(None, (75, 90) if turn == 1 else (90, 75))
    assert picture.size == (300 // part, 400 // part)
    turned = ImageOps.exif_transpose(picture)

    size = [90, 75]
    made = run(data, (90, 75, 3), resize={"exact": size}, jpeg_scaling=True, layout="nhwc")
    exact = run(data, (90, 75, 3), resize={"exact": size}, layout="nhwc")

    assert np.array_equal(made, np.asarray(turned.resize((75, 90), Image.Resampling.BILINEAR)))
    assert not np.array_equal(made, exact)


def test_a_scaled_jpeg_is_no_smaller_than_what_is_cropped_from() -> None:
    """The size that counts is that of the resize."""
    data = jpeg(np.random.default_rng(2), 400, 400)

    made = run(data, (40, 40, 3), resize={"exact": 180}, crop=40, jpeg_scaling=True, layout="nhwc")

    picture = opened(data)
    picture.draft(None, (180, 180))
    assert picture.size == (200, 200)
    expected = picture.resize((180, 180), Image.Resampling.BILINEAR).crop((70, 70, 110, 110))
    assert np.array_equal(made, np.asarray(expected))


def yolo_letterbox(pixels: Array, target: int) -> Array:
    """YOLOv5's ``letterbox`` without stride, written out."""
    height, width = pixels.shape[:2]
    ratio = min(target / height, target / width)
    inner = round(width * ratio), round(height * ratio)
    across, down = (target - inner[0]) / 2, (target - inner[1]) / 2
    if (width, height) != inner:
        pixels = cv2.resize(pixels, inner, interpolation=cv2.INTER_LINEAR)
    top, bottom = round(down - 0.1), round(down + 0.1)
    left, right = round(across - 0.1), round(across + 0.1)
    boxed: Array = cv2.copyMakeBorder(
        pixels, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114)
    )
    return boxed


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 200), st.integers(2, 200), st.integers(0, 2**32))
def test_a_letterbox_is_yolos(height: int, width: int, seed: int) -> None:
    """Every proportion; the odd line goes below and to the right."""
    if max(height, width) / min(height, width) > 60:
        return  # a side of no pixels, which YOLO's function fails at
    data = saved(image(np.random.default_rng(seed), height, width))

    made = run(data, (64, 64, 3), library="opencv", resize={"letterbox": 64}, layout="nhwc")

    assert np.array_equal(made, yolo_letterbox(np.asarray(opened(data)), 64))


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
@pytest.mark.parametrize(
    ("options", "mean", "std", "scale"),
    [
        ({"normalize": "imagenet"}, MEAN, STD, 1 / 255),
        ({"normalize": "inception"}, 0.5, 0.5, 1 / 255),
        (
            {"normalize": "clip"},
            (0.48145466, 0.4578275, 0.40821073),
            (0.26862954, 0.26130258, 0.27577711),
            1 / 255,
        ),
        ({"normalize": "unit"}, 0, 1, 1 / 255),
        ({"normalize": "none"}, 0, 1, 1),
        (
            {"normalize": "custom", "mean": [103.939, 116.779, 123.68]},
            (103.939, 116.779, 123.68),
            1,
            1,
        ),
        ({"normalize": "custom", "scale": 0.5, "mean": [1], "std": [2, 3, 4]}, 1, (2, 3, 4), 0.5),
    ],
)
@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_numbers_are_those_of_the_formula(
    *, datatype: str, options: dict[str, Any], mean: Any, std: Any, scale: float, color: str
) -> None:
    """To the precision of the type; presets are in the order of red, custom ones in that given."""
    data = saved(image(np.random.default_rng(9), 6, 5))
    pixels = np.asarray(opened(data)).astype(np.float64)
    mean, std = np.broadcast_to(mean, 3), np.broadcast_to(std, 3)
    if color == "bgr":
        pixels = pixels[:, :, ::-1]
        if options["normalize"] != "custom":
            mean, std = mean[::-1], std[::-1]
    expected = (pixels * scale - mean) / std

    made = run(data, (6, 5, 3), datatype=datatype, color=color, layout="nhwc", **options)

    least = {"FP16": 2e-3, "FP32": 1e-6, "FP64": 1e-12}[datatype]
    # What is subtracted takes digits away.
    assert np.allclose(made, expected, rtol=least, atol=least * max(1, (mean / std).max()))
