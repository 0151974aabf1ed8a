# SPDX-License-Identifier: Apache-2.0
"""Label files: the same labels, whatever they are written in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.lab import LabError
from gateway.lab.label_files import LabelFile

ITEMS: list[dict[str, Any]] = [
    {"id": "a", "label": "1", "time": 5.0},
    {"id": "b", "row": 2, "label": "0", "source": "ann"},
    {"id": "c", "label": "x,y"},
]
TABLE = 'id,row,label,time,source,city\na,,1,5,,Ulm\nb,2,0,,ann,\nc,,"x,y",,,\n'
LINES = (
    '{"id": "a", "label": "1", "time": 5.0}\n\n{"id": "b", "row": 2, "label": "0", "source": "ann"}'
    '\n{"id": "c", "label": "x,y"}\n'
)


def read(path: Path, text: str | bytes, **rename: str) -> list[dict[str, Any]]:
    """All labels of a file."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [item for batch, _ in LabelFile(str(path), rename).batches(2) for item in batch]


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        "\ufeff" + TABLE.replace("\n", "\r\n"),
        LINES,
        f"[{LINES.strip().replace(chr(10) * 2, chr(10)).replace(chr(10), ',')}]",
    ],
)
def test_forms_are_told_by_what_is_there(tmp_path: Path, text: str) -> None:
    """A table, lines of objects, an array."""
    assert read(tmp_path / "labels", text) == ITEMS


def test_arrays_are_columns(tmp_path: Path) -> None:
    """Others than those of labels are left out."""
    path = tmp_path / "labels.npz"
    np.savez(path, uid=np.array(["a", "b"]), y=np.array([1, 0]), pixels=np.zeros((2, 3)))
    found = LabelFile(str(path), {"uid": "id", "y": "label"})
    assert [batch for batch, _ in found.batches(10)] == [
        [{"id": "a", "label": 1}, {"id": "b", "label": 0}]
    ]


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    """In tables and in objects."""
    expected = [{"id": "a", "label": "1"}]
    assert read(tmp_path / "t", "order,y\na,1\n", order="id", y="label") == expected
    assert read(tmp_path / "l", '{"order": "a", "y": "1"}\n', order="id", y="label") == expected


def test_sets_of_labels_stand_in_one_field(tmp_path: Path) -> None:
    """With a stroke between them; none of them is a set too."""
    assert read(tmp_path / "t", "id,labels\na,x|y\nb,\n") == [
        {"id": "a", "labels": ["x", "y"]},
        {"id": "b", "labels": []},
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "no column 'id' in the first line, which has a, b; say .* --id"),
        ("id,b\n1,2\n", "no column 'label' .* --label"),
        ("id,row,label\na,x,1\n", ":2: row 'x' is no number"),
        ('{"id": "a"}\n{"id"\n', ":2: not JSON"),
        ('{"id": "a"}\n5\n', "line 2 is no object"),
        ("[1, 2]", "an item is no object"),
        ("[1, 2", "not JSON"),
        (b"id,label\n\xff,1\n", "not UTF-8"),
    ],
)
def test_faults_say_where_they_are(tmp_path: Path, text: str | bytes, said: str) -> None:
    """And what would be right."""
    with pytest.raises(LabError, match=said):
        read(tmp_path / "labels.csv", text)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(LabError, match="No such file"):
        list(LabelFile(str(tmp_path / "none.csv")).batches(1))
    (tmp_path / "x.npz").write_bytes(b"no")
    with pytest.raises(LabError, match="not an npz"):
        list(LabelFile(str(tmp_path / "x.npz")).batches(1))
