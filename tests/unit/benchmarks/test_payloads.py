# SPDX-License-Identifier: Apache-2.0
"""Requests are whole and well formed, and a wrong answer is told from a right one."""

import json
from pathlib import Path

import numpy as np

from benchmarks.payloads import Expected, Payload, binary_rows, fault, json_rows, raw_rows

ROWS = np.array([[0.0, 0.5, 16.0], [1.0, 2.0, 3.0]], np.float32)
TRUTH = Expected(1, np.array([0.25, 0.75], np.float32))


def answer(label: int, scores: list[float]) -> bytes:
    """A v2 answer."""
    outputs = [{"name": "label", "data": [label]}, {"name": "probabilities", "data": scores}]
    return json.dumps({"outputs": outputs}).encode()


def test_a_json_request_carries_one_row() -> None:
    """The row, its shape and its datatype."""
    payload = json_rows("digits", "image", ROWS)
    assert payload.path == "/v2/models/digits/infer"
    assert json.loads(payload.bodies[0])["inputs"] == [
        {"name": "image", "shape": [1, 3], "datatype": "FP32", "data": [0.0, 0.5, 16.0]}
    ]


def test_a_binary_request_has_the_row_behind_its_header() -> None:
    """The header's length says where the bytes begin, the tensor how many there are."""
    payload = binary_rows("images", "image", ROWS)
    length = int(dict(payload.headers)["Inference-Header-Content-Length"])
    head, tail = payload.bodies[1][:length], payload.bodies[1][length:]
    assert json.loads(head)["inputs"][0]["parameters"] == {"binary_data_size": 12}
    assert np.frombuffer(tail, "<f4").tolist() == [1.0, 2.0, 3.0]


def test_a_raw_request_is_the_row() -> None:
    """Nothing but little-endian numbers."""
    assert raw_rows("/infer", ROWS).bodies[1] == ROWS[1].tobytes()


def test_a_request_is_written_as_it_is_sent(tmp_path: Path) -> None:
    """Head, blank line, body, and the body's length in the head."""
    payload = Payload("/x", (("Content-Type", "text/plain"),), (b"one", b"three"))
    assert payload.write(tmp_path / "requests", "here:80") == 2
    assert (tmp_path / "requests" / "1").read_bytes() == (
        b"POST /x HTTP/1.1\r\nHost: here:80\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 5\r\n\r\nthree"
    )


def test_a_right_answer_has_no_fault() -> None:
    """The last bits of a score may differ, as another batch size sums in another order."""
    assert fault(answer(1, [0.25001, 0.74999]), TRUTH) is None


def test_a_wrong_label_is_a_fault() -> None:
    """The message names both labels."""
    assert fault(answer(0, [0.25, 0.75]), TRUTH) == "label [0], where onnxruntime says 1"


def test_the_scores_of_another_row_are_a_fault() -> None:
    """A batch that was split wrongly shows even where the label is the same."""
    assert "probabilities" in str(fault(answer(1, [0.1, 0.9]), TRUTH))
    assert "probabilities" in str(fault(answer(1, [0.75]), TRUTH))


def test_what_is_no_answer_is_a_fault() -> None:
    """Neither text nor an error body passes for a prediction."""
    for body in (b"hello", b'{"error": "no"}', b"[]", b'{"outputs": [1]}'):
        assert "not a v2 answer" in str(fault(body, TRUTH))
