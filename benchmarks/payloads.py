# SPDX-License-Identifier: Apache-2.0
"""The requests that clients send, as bytes, and the answers that onnxruntime gives on them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Expected:
    """What one row gives: its label, and the scores [classes] behind it."""

    label: int
    scores: Rows


@dataclass(frozen=True)
class Payload:
    """Request bodies of one kind, with the path and headers they are sent with."""

    path: str
    headers: tuple[tuple[str, str], ...]
    bodies: tuple[bytes, ...]

    def requests(self, host: str) -> list[bytes]:
        """Whole HTTP/1.1 requests to *host*, bytes as sent."""
        return [self._head(host, body) + body for body in self.bodies]

    def _head(self, host: str, body: bytes) -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += [f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode()

    def write(self, directory: Path, host: str) -> int:
        """Write each whole request to a file *directory*/NUMBER; give their number."""
        directory.mkdir(parents=True, exist_ok=True)
        requests = self.requests(host)
        for number, request in enumerate(requests):
            (directory / str(number)).write_bytes(request)
        return len(requests)


def json_rows(model: str, name: str, rows: Rows) -> Payload:
    """One v2 JSON request a row of *rows* [n, width]."""
    bodies = []
    for row in rows:
        tensor = {"name": name, "shape": [1, row.size], "datatype": "FP32", "data": row.tolist()}
        bodies.append(json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode())
    headers = (("Content-Type", "application/json"),)
    return Payload(f"/v2/models/{model}/infer", headers, tuple(bodies))


def binary_rows(model: str, name: str, rows: Rows) -> Payload:
    """One v2 request a row of *rows* [n, ...], the tensor in binary behind the JSON."""
    tensor = {
        "name": name,
        "shape": [1, *rows.shape[1:]],
        "datatype": "FP32",
        "parameters": {"binary_data_size": rows[0].nbytes},
    }
    head = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
    headers = (
        ("Content-Type", "application/octet-stream"),
        ("Inference-Header-Content-Length", str(len(head))),
    )
    bodies = tuple(head + row.astype("<f4").tobytes() for row in rows)
    return Payload(f"/v2/models/{model}/infer", headers, bodies)


def raw_rows(path: str, rows: Rows) -> Payload:
    """One request a row of *rows*, its bytes and nothing else."""
    headers = (("Content-Type", "application/octet-stream"),)
    return Payload(path, headers, tuple(row.astype("<f4").tobytes() for row in rows))


def expect(model: Path, rows: Rows) -> list[Expected]:
    """Run *model* on each of *rows* alone: the truth that answers are checked against."""
    session = ort.InferenceSession(model)
    name = session.get_inputs()[0].name
    found = []
    for row in rows:
        label, scores = session.run(["label", "probabilities"], {name: row[np.newaxis]})
        found.append(Expected(int(label[0]), scores[0]))
    return found


def fault(body: bytes, expected: Expected) -> str | None:
    """What is wrong with a v2 JSON answer, in words; None when it is right."""
    try:
        outputs = {output["name"]: output for output in json.loads(body)["outputs"]}
        label: Sequence[int] = outputs["label"]["data"]
        scores = np.array(outputs["probabilities"]["data"], np.float32).ravel()
    except (ValueError, KeyError, TypeError) as error:
        return f"not a v2 answer with label and probabilities ({error!r}): {body[:200]!r}"
    if list(label) != [expected.label]:
        return f"label {label}, where onnxruntime says {expected.label}"
    # Another batch size sums in another order: the last bits may differ, the digits must not.
    if scores.shape != expected.scores.shape or not np.allclose(
        scores, expected.scores, rtol=1e-3, atol=1e-4
    ):
        return f"probabilities {scores.tolist()}, where onnxruntime says {expected.scores.tolist()}"
    return None
