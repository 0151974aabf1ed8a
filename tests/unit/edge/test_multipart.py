# SPDX-License-Identifier: Apache-2.0
"""Parts of a form, found where they are and nowhere else."""

from __future__ import annotations

import pytest

from gateway.edge.multipart import MAX_PARTS, boundary_of, parts_of
from gateway.errors import InvalidRequest

HEAD = b'Content-Disposition: form-data; name="x"'


def form(*parts: bytes, boundary: bytes = b"b") -> bytes:
    """A body of *parts*, each with its header."""
    lines = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return lines + b"--" + boundary + b"--\r\n"


def test_content_is_what_stands_between_header_and_boundary() -> None:
    """To the byte, line ends and dashes of its own included."""
    contents = [b"", b"\r\n", b"--b", b"a\r\n--", b"\0\xff\r\n\r\n-"]
    body = form(*(HEAD + b"\r\n\r\n" + content for content in contents))

    found = parts_of(body, b"b")

    assert [body[part.start : part.end] for part in found] == contents
    assert {part.name for part in found} == {"x"}


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"content-disposition: Form-Data; filename=a.png; name=x", "x"),
        (b'Content-Type: image/png\r\nContent-Disposition: form-data; name="a b"', "a b"),
        ('Content-Disposition: form-data; name="bild"; filename="größe.png"'.encode(), "bild"),
        (b'Content-Disposition: form-data;\r\n name="x"', "x"),
        (HEAD + b"\r\nContent-Transfer-Encoding: BINARY", "x"),
    ],
)
def test_name_is_read_as_clients_write_it(head: bytes, name: str) -> None:
    """Quoted or not, folded or not, in any order."""
    assert [part.name for part in parts_of(form(head + b"\r\n\r\nc"), b"b")] == [name]


def test_a_form_may_be_empty() -> None:
    """Which inputs are missing is not this module's question."""
    assert parts_of(b"--b--", b"b") == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "does not begin with the boundary"),
        (b"preamble\r\n" + form(HEAD + b"\r\n\r\n"), "does not begin with the boundary"),
        (b"--b", "no end of a line"),
        (b"--bb\r\n", "no end of a line"),
        (b"--b\n" + HEAD + b"\n\nc\n--b--", "no end of a line"),
        (b"--b\r\n" + HEAD, "part 0 has no header"),
        (b"--b\r\n" + HEAD + b"\r\n\r\nabc", "part 0 has no end"),
        (b"--b\r\n" + HEAD + b"\r\n\r\nabc\r\n--b", "no end of a line"),
        (form(b"X: " + b"y" * 5000 + b"\r\n\r\nc"), "part 0 has no header"),
        (form(b"X: y\r\n\r\nc"), "part 0 needs 'Content-Disposition"),
        (form(b"Content-Disposition: attachment; name=x\r\n\r\nc"), "part 0 needs"),
        (form(b"Content-Disposition: form-data\r\n\r\nc"), "part 0 needs"),
        (form(b'Content-Disposition: form-data; name=""\r\n\r\nc'), "part 0 needs"),
        (form(b"Content-Disposition: form-data; name*=utf-8''x\r\n\r\nc"), "part 0 needs"),
        (form(HEAD + b"\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ=="), "encoded as 'base64'"),
        (form(HEAD + b"\xff\r\n\r\nc"), "part 0 is not UTF-8"),
        (form(HEAD + b"\r\n\r\nc") + b"epilogue", "something follows"),
        (form(*[HEAD + b"\r\n\r\n"] * (MAX_PARTS + 1)), f"more than {MAX_PARTS} parts"),
    ],
)
def test_anything_else_is_refused(body: bytes, said: str) -> None:
    """With where it goes wrong."""
    with pytest.raises(InvalidRequest, match=said):
        parts_of(body, b"b")


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; charset=utf-8; Boundary="a b:c"', b"a b:c"),
    ],
)
def test_boundary_is_that_of_the_header(content_type: str, boundary: bytes) -> None:
    """Quoted or not."""
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("value", ["", "; boundary=", f"; boundary={'a' * 71}", "; boundary=ü"])
def test_a_bad_boundary_is_refused(value: str) -> None:
    """It would be found where there is none."""
    with pytest.raises(InvalidRequest, match="needs a boundary"):
        boundary_of(f"multipart/form-data{value}")
