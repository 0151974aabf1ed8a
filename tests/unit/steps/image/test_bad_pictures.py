# SPDX-License-Identifier: Apache-2.0
"""Pictures that are damaged, hostile or unusual: a clear refusal, or the documented result."""

from __future__ import annotations

import base64
import io
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.errors import InvalidRequest
from gateway.steps import bind_inputs
from gateway.steps.image.header import read_header
from gateway.wire.tensor import Array
from tests.support.pictures import (
    IEND,
    SIGNATURE,
    chunk,
    image,
    jpeg,
    png,
    saved,
    tensor,
    with_exif,
)
from tests.support.steps import input_step, takes

RNG = np.random.default_rng(11)
SMALL = saved(image(RNG, 8, 8))
JPEG = jpeg(RNG, 40, 30)
WEBP = saved(image(RNG, 40, 30), "WEBP")


def run(*pictures: bytes, size: tuple[int, int] | None = (8, 8), **options: Any) -> Array:
    """What the step makes of *pictures*, uint8 [rows, height, width, channels]."""
    options.setdefault("normalize", "none")
    channels = 1 if options.get("color") == "gray" else 3
    if size is not None:
        options.setdefault("resize", {"exact": list(size)})
    step = input_step("image", layout="nhwc", **options)
    shape = (*(size or (8, 8)), channels)
    (made,) = bind_inputs(takes("UINT8", -1, *shape), [step])((tensor(pictures),))
    return made.array()


def refusal(*pictures: bytes, **options: Any) -> str:
    """What the client is told."""
    with pytest.raises(InvalidRequest) as raised:
        run(*pictures, **options)
    assert raised.value.status == 400
    return raised.value.message


def png_of(width: int, height: int) -> bytes:
    """A PNG of some bytes that announces a picture of any size."""
    return png(width, height, 8, 2, b"\0" * 10)


def jpeg_of(width: int, height: int, data: bytes = JPEG) -> bytes:
    """*data* with another size in its frame header."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def animation(kind: str) -> bytes:
    """Three frames."""
    frames = [image(RNG, 20, 20) for _ in range(3)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=40)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is no picture of a known format; expected jpeg, png, webp"),
        (b"hello", "no picture of a known format"),
        (saved(image(RNG, 8, 8), "GIF"), "no picture of a known format"),
        (saved(image(RNG, 8, 8), "BMP"), "no picture of a known format"),
        (saved(image(RNG, 8, 8), "TIFF"), "no picture of a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture of a known format"),
        (b"%PDF-1.7", "no picture of a known format"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "no picture of a known format"),
        (base64.b64encode(b"text"), "no picture of a known format"),
        (b"data:image/png,abc", "a data URL, but not one of base64"),
        (SIGNATURE, "the png does not begin with its header chunk"),
        (SIGNATURE + chunk(b"IDAT"), "the png does not begin with its header chunk"),
        (SMALL[:20], "the png ends within its header, after 20 bytes"),
        (SMALL[:-20], "the png is cut off"),
        (SMALL[:-12], "the png is cut off"),
        (SMALL[:60] + b"\0" + SMALL[61:], "the png is damaged"),
        (png(8, 8, 8, 2, b"\0" * 10), "the png is damaged"),
        (png(8, 8, 3, 2, b"\0" * 100), "the png is damaged"),
        (png(0, 8, 8, 2, b""), "it is 0 x 8 pixels"),
        (png(1 << 31, 1, 8, 2, b""), "2147483648 x 1 pixels"),
        (b"\xff\xd8\xff", "the jpeg ends within its header"),
        (b"\xff\xd8\xff\xd9", "no frame header before its data"),
        (b"\xff\xd8\xff\xe0\0\1", "a segment of 1 bytes"),
        (b"\xff\xd8\xff\xe0\0\2x", "no marker at byte 6"),
        (JPEG[:100], "the jpeg ends within its header"),
        (JPEG[:-200], "the jpeg is damaged"),
        (b"\xff\xd8" + b"\xff\xe0\0\2" * 5000 + JPEG[2:], "more than 1024 segments"),
        (jpeg_of(0, 40), "it is 0 x 40 pixels"),
        (WEBP[:40], "the webp is cut off"),
        (b"RIFF\x04\0\0\0WEBP", "the webp begins with an unknown chunk"),
        (b"RIFF\x04\0\0\0WEBPVP8X", "the webp ends within its header"),
        (b"RIFF\x12\0\0\0WEBPABCD\x0a\0\0\0" + b"\0" * 10, "begins with an unknown chunk"),
        (b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0" + b"\0" * 10, "has no key frame"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_row(data: bytes, said: str) -> None:
    """The good ones before it do not hide which one is meant."""
    told = refusal(SMALL, data, SMALL)
    assert told.startswith("input 'x' row 1: ")
    assert said in told


@pytest.mark.parametrize(
    ("data", "limits", "said"),
    [
        (png_of(100_000, 100_000), {}, "100000 x 100000 pixels; limits.side is 16384"),
        (png_of(16_384, 16_384), {}, "268435456 pixels; limits.pixels is 25000000"),
        (jpeg_of(65_535, 65_535), {}, "65535 x 65535 pixels; limits.side"),
        (png_of(9, 8), {"pixels": 71}, "9 x 8 = 72 pixels; limits.pixels is 71"),
        (SMALL, {"bytes": 50}, f"it has {len(SMALL)} bytes; limits.bytes is 50"),
        (animation("PNG"), {}, "an animation of 3 frames; limits.frames is 1"),
        (animation("WEBP"), {"frames": 2}, "an animation of 3 frames; limits.frames is 2"),
        (
            jpeg(RNG, 40, 40, progressive=True),
            {"scans": 3},
            "a progressive jpeg of 10 scans; limits.scans is 3",
        ),
        (SIGNATURE + SMALL[8:33] + chunk(b"tEXt") * 20_000 + IEND, {}, "more than 16384 chunks"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(data: bytes, limits: dict[str, int], said: str) -> None:
    """The answer has what it is, and the key to change."""
    assert said in refusal(data, limits=limits)


def test_a_bomb_costs_next_to_nothing() -> None:
    """It is refused by its header: no memory is taken for what it announces."""
    lines = zlib.compress(b"\0" * (50_001 * 1000), 9)
    header = struct.pack(">IIBBBBB", 50_000, 1000, 8, 0, 0, 0, 0)
    bomb = SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + IEND
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        assert "limits.side" in refusal(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_text_bombs_in_a_png_are_refused() -> None:
    """A few bytes of a compressed note become a gigabyte; Pillow's own limit holds."""
    note = chunk(b"zTXt", b"note\0\0" + zlib.compress(b"\0" * (100 << 20), 9))
    told = refusal(SMALL[:33] + note + SMALL[33:])
    assert "the png is damaged" in told


def test_a_thin_picture_does_not_grow_without_bounds() -> None:
    """One pixel by thousands, with its shorter side enlarged."""
    data = saved(Image.new("RGB", (1, 5000)))
    assert "would be 8 x 40000; limits.side" in refusal(
        data, resize={"shorter": 8}, crop=8, normalize="none"
    )


def test_too_many_rows_are_refused_before_any_is_read() -> None:
    """A small body of tiny pictures would become gigabytes of numbers."""
    told = refusal(*[b"no picture"] * 5, limits={"rows": 4})
    assert told == "input 'x': 5 pictures given; limits.rows is 4"


def test_time_is_bounded() -> None:
    """Rows that are not begun in time are refused."""
    assert "limits.time" in refusal(SMALL, SMALL, limits={"time": 1e-9})


def test_two_sizes_in_one_file_are_refused() -> None:
    """What is judged must be what is decoded."""
    second = chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 20, 8, 2, 0, 0, 0))
    assert "8 x 8 pixels, and also" in refusal(SMALL[:33] + second + SMALL[33:])


def test_the_format_is_that_of_the_bytes() -> None:
    """Only those that are declared are taken."""
    assert "it is a jpeg; expected png" in refusal(JPEG, formats=["png"])


def test_a_polyglot_is_the_picture_that_it_begins_with() -> None:
    """What follows the end of a picture is nobody's business."""
    archive = b"PK\x03\x04" + b"\0" * 100
    page = b"<script>alert(1)</script>"
    for data in (SMALL, JPEG, WEBP):
        assert np.array_equal(run(data + archive + page), run(data))


def test_without_a_resize_another_size_is_refused() -> None:
    """The model says which."""
    assert "it is 30 x 40 pixels; expected 8 x 8, as nothing resizes it" in refusal(JPEG, size=None)
    assert run(SMALL, size=None).shape == (1, 8, 8, 3)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(SMALL),
        b"data:image/png;base64," + base64.b64encode(SMALL),
        b"data:image/whatever;base64," + base64.b64encode(SMALL),
    ],
)
def test_base64_is_the_picture_that_it_stands_for(text: bytes) -> None:
    """JSON has no other way to carry one."""
    assert np.array_equal(run(text), run(SMALL))


def test_an_animation_within_its_limit_is_its_first_frame() -> None:
    """Where that is declared."""
    for kind in ("PNG", "WEBP"):
        data = animation(kind)
        first = Image.open(io.BytesIO(data)).convert("RGB")
        made = run(data, size=(20, 20), limits={"frames": 3})
        assert np.array_equal(made[0], np.asarray(first))


GREY16 = png(4, 1, 16, 0, b"\0" + struct.pack(">4H", 200, 256, 511, 65535))


@pytest.mark.parametrize(
    ("rule", "levels"), [("high_byte", [0, 1, 1, 255]), ("clip", [200, 255, 255, 255])]
)
def test_grey_of_sixteen_bits_is_what_is_declared(rule: str, levels: list[int]) -> None:
    """OpenCV's way or Pillow's."""
    made = run(GREY16, size=(1, 4), color="gray", sixteen_bit=rule)
    assert made.ravel().tolist() == levels
    if rule == "clip":
        assert levels == np.asarray(Image.open(io.BytesIO(GREY16)).convert("L")).ravel().tolist()


def test_colour_of_sixteen_bits_is_its_high_byte() -> None:
    """In Pillow as in OpenCV."""
    data = png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 255, 511, 65535))
    for rule in ("high_byte", "clip"):
        assert run(data, size=(1, 1), sixteen_bit=rule).ravel().tolist() == [0, 1, 255]


def test_sixteen_bits_may_be_refused() -> None:
    """Grey and colour."""
    assert "16 bits a sample; expected 8" in refusal(GREY16, size=(1, 4), sixteen_bit="refuse")


CLEAR = Image.new("RGBA", (2, 1), (200, 100, 0, 0))
CLEAR.putpixel((1, 0), (200, 100, 0, 51))
PALETTE = CLEAR.convert("RGB").quantize(2)


@pytest.mark.parametrize(
    ("rule", "pixels"),
    [
        ("drop", [[200, 100, 0], [200, 100, 0]]),
        ("white", [[255, 255, 255], [244, 224, 204]]),
        ("black", [[0, 0, 0], [40, 20, 0]]),
        ([0, 0, 255], [[0, 0, 255], [40, 20, 204]]),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_is_what_is_declared(rule: Any, pixels: list[list[int]], kind: str) -> None:
    """Left out, or laid on a colour."""
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    made = run(saved(CLEAR, kind, **options), size=(1, 2), alpha=rule)
    assert made[0, 0].tolist() == pixels


@pytest.mark.parametrize(
    ("data", "laid", "dropped"),
    [
        # A palette with an alpha for each colour.
        (saved(PALETTE, transparency=b"\0\xff"), [255, 255, 255], [200, 100, 0]),
        # One colour that is clear, in RGB and in grey of 8 and of 16 bits.
        (
            png(1, 1, 8, 2, b"\0\1\2\3", chunk(b"tRNS", b"\0\1\0\2\0\3")),
            [255, 255, 255],
            [1, 2, 3],
        ),
        (png(1, 1, 8, 0, b"\0\7", chunk(b"tRNS", b"\0\7")), [255, 255, 255], [7, 7, 7]),
        (png(1, 1, 16, 0, b"\0\7\7", chunk(b"tRNS", b"\7\7")), [255, 255, 255], [7, 7, 7]),
        (png(1, 1, 8, 4, b"\0\7\0"), [255, 255, 255], [7, 7, 7]),
    ],
)
def test_every_kind_of_transparency_counts(
    data: bytes, laid: list[int], dropped: list[int]
) -> None:
    """Not that of RGBA alone."""
    width = Image.open(io.BytesIO(data)).width
    assert run(data, size=(1, width), alpha="white")[0, 0, 0].tolist() == laid
    assert run(data, size=(1, width))[0, 0, 0].tolist() == dropped


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_every_mode_of_png_is_pillows(mode: str, color: str) -> None:
    """Converted as ``convert`` does it."""
    data = saved(image(RNG, 20, 20, mode))
    expected = Image.open(io.BytesIO(data)).convert("L" if color == "gray" else "RGB")
    made = run(data, size=(20, 20), color=color)[0].squeeze()
    assert np.array_equal(made, np.asarray(expected))


@pytest.mark.parametrize(
    "notes",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x09\0\0\0",
        b"II*\0\x08\0\0\0\1\0\x12\1\2\0\1\0\0\0\x06\0\0\0",
        b"MM\0*\0\0\0\x08" + b"\xff" * 4000,
    ],
)
def test_damaged_notes_leave_the_picture_upright(notes: bytes) -> None:
    """A picture is more than what a camera wrote about it."""
    assert np.array_equal(run(with_exif(JPEG, notes)), run(JPEG))


# What Pillow says of damaged notes is silenced where it decodes; tests make errors of it again.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from((SMALL, JPEG, WEBP, jpeg(RNG, 30, 30, progressive=True), animation("WEBP"))),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=8),
    st.integers(0, 400),
)
def test_damage_anywhere_is_an_answer(
    data: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    """Any bytes changed, any part cut off: pixels or a refusal, never another error."""
    damaged = bytearray(data[: len(data) - cut] if cut < 200 else data)
    for at, value in changes:
        if damaged:
            damaged[at % len(damaged)] = value
    try:
        made = run(bytes(damaged), limits={"pixels": 100_000})
    except InvalidRequest as error:
        assert error.message.startswith("input 'x' row 0: ")  # noqa: PT017 - either is right
    else:
        assert made.shape == (1, 8, 8, 3)


def test_the_first_row_at_fault_is_told_whatever_the_threads_do() -> None:
    """A batch has one answer, and always the same."""
    told = {refusal(*[SMALL] * 3, b"a", *[JPEG] * 5, b"b", b"c") for _ in range(20)}
    assert told == {"input 'x' row 3: it is no picture of a known format; expected jpeg, png, webp"}


def test_headers_are_read_of_every_kind() -> None:
    """As Pillow reads them."""
    for kind, options in (
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"II*\0"}),
    ):
        data = saved(image(RNG, 33, 44), kind, **options)
        header = read_header(data, kind.lower())
        assert (header.width, header.height, header.depth) == (44, 33, 8)
