# SPDX-License-Identifier: Apache-2.0
"""Items of labels, in every form in which they are sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.quality.items import (
    MOST,
    BadLabels,
    Refused,
    Sent,
    read_csv,
    read_json,
    read_lines,
)


def test_one_object_an_array_and_lines_are_the_same() -> None:
    """Whatever content type says: a body that begins like an object may be several."""
    items = [{"id": "a", "label": 1}, {"id": "b", "row": 2, "value": 0.5, "source": "ann"}]
    expected = [Sent("a", 0, 1), Sent("b", 2, 0.5, source="ann")]
    lines = b"\n".join(json.dumps(item).encode() for item in items) + b"\n"
    assert read_json(json.dumps(items).encode()) == expected
    assert read_json(json.dumps(items[0]).encode()) == expected[:1]
    assert read_lines(lines) == read_json(lines) == expected


def test_a_table_has_a_line_of_names() -> None:
    """Columns that mean nothing here are left alone; what is empty was not said."""
    found = read_csv(
        b"\xef\xbb\xbfid,row,label,time,source,city\r\n"
        b'a,,"x, y",2026-01-01T00:00:00Z,ann,Ulm\r\nb,3,1,5.5,,\r\n'
    )
    assert found == [
        Sent("a", 0, "x, y", source="ann", time=1767225600.0),
        Sent("b", 3, "1", time=5.5),
    ]
    assert read_csv(b"inference_id,labels\na,red|blue\nb,\n") == [
        Sent("a", 0, ["red", "blue"]),
        Sent("b", 0, []),
    ]


def test_a_model_is_that_of_the_request_or_of_the_item() -> None:
    """The item's own goes first."""
    body = b'[{"id": "a", "label": 1}, {"id": "a", "label": 1, "model": "n"}]'
    assert [each.model for each in read_json(body, model="m") if isinstance(each, Sent)] == [
        "m",
        "n",
    ]


def test_records_of_sagemaker_are_taken() -> None:
    """Joined by inferenceId where there is one, as there."""
    record: dict[str, Any] = {
        "groundTruthData": {"data": "1", "encoding": "CSV"},
        "eventMetadata": {"eventId": "e"},
        "eventVersion": "0",
    }
    assert read_json(json.dumps(record).encode()) == [Sent("e", 0, "1")]
    record["eventMetadata"]["inferenceId"] = "i"
    assert read_lines(json.dumps(record).encode()) == [Sent("i", 0, "1")]
    record["groundTruthData"]["encoding"] = "BASE64"
    (refused,) = read_json(json.dumps(record).encode())
    assert isinstance(refused, Refused)
    assert "expected 'CSV'" in refused.reason


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"label": 1}, "id: expected"),
        ({"id": "", "label": 1}, "id: expected"),
        ({"id": "x" * 513, "label": 1}, "id: expected"),
        ({"id": "a\0", "label": 1}, "id: expected"),
        ({"id": "a"}, "expected one of label, value and labels"),
        ({"id": "a", "label": None}, "and not null"),
        ({"id": "a", "label": 1, "value": 2}, "expected one of"),
        ({"id": "a", "labels": 1}, "labels: expected a list"),
        ({"id": "a", "row": -1, "label": 1}, "row -1"),
        ({"id": "a", "row": "x", "label": 1}, "Expected `int`"),
        ({"id": "a", "label": 1, "weight": 0}, "weight 0"),
        ({"id": "a", "label": 1, "weight": -2}, "weight -2"),
        ({"id": "a", "label": 1, "source": "x" * 65}, "source: expected"),
        ({"id": "a", "label": 1, "source": "a\nb"}, "source: expected"),
        ({"id": "a", "label": 1, "time": 1767225600000}, "expected seconds"),
        ({"id": "a", "label": 1, "time": "yesterday"}, "expected 2026-01-31T12:00:00Z"),
        ({"id": "a", "label": 1, "time": "2026-01-01T00:00:00"}, "has no zone"),
        ({"id": "a", "colour": 1}, "unknown field `colour`"),
        (5, "Expected `object`"),
    ],
)
def test_one_bad_item_is_refused_alone(item: object, reason: str) -> None:
    """With what is wrong of it; its neighbours are taken."""
    found = read_json(json.dumps([{"id": "a", "label": 1}, item, {"id": "c", "label": 2}]).encode())
    assert isinstance(found[0], Sent)
    assert isinstance(found[2], Sent)
    assert isinstance(found[1], Refused)
    assert reason in found[1].reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "expected an object"),
        (b"5", "expected an object"),
        (b"{", "not JSON"),
        (b"[{]", "not JSON"),
        (b"\xff", "expected an object"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_holds_no_items_is_refused_as_a_whole(body: bytes, reason: str) -> None:
    """In words."""
    with pytest.raises(BadLabels, match=reason):
        read_json(body)


def test_faults_of_files_name_the_line() -> None:
    """So that it is found in a long file."""
    with pytest.raises(BadLabels, match="line 2: not JSON"):
        read_lines(b'{"id": "a", "label": 1}\n{"id"\n')
    with pytest.raises(BadLabels, match="no column id"):
        read_csv(b"a,b\n1,2\n")
    with pytest.raises(BadLabels, match="no column label"):
        read_csv(b"id,b\n1,2\n")
    with pytest.raises(BadLabels, match="not UTF-8"):
        read_csv(b"id,label\n\xff,1\n")
    (refused,) = read_csv(b"id,row,label\na,x,1\n")
    assert isinstance(refused, Refused)


def test_a_request_has_a_limit() -> None:
    """What is held at once is bounded."""
    body = b"\n".join([b'{"id": "a", "label": 1}'] * (MOST + 1))
    with pytest.raises(BadLabels, match="at most"):
        read_lines(body)
