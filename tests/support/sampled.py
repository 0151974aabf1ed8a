# SPDX-License-Identifier: Apache-2.0
"""Sampled: the digits model with what is kept of it, and a shadow with a worker of its own."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tests.support.serving import Serving
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIGITS = ROOT / "models" / "digits"
STEPS = "preprocess: [{scale: {factor: 0.0625}}]"


class Sampled(ExitStack):
    """A running Infergate with the models digits and twin, the same file; *more* of digits.

    Questions are the held-out rows, from the first on.
    """

    def __init__(
        self, directory: Path, more: str, *, twin: str = "", processes: int = 1, root: str = ""
    ) -> None:
        super().__init__()
        worker = f"backends: [{{worker: {{path: {DIGITS}}}}}]"
        text = (
            "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0'}\n"
            f"ledger: {{url: 'sqlite:///{directory}/ledger.sqlite3'}}\n{root}"
            f"models:\n  digits: {{{worker}, {STEPS}, {more}}}\n"
            f"  twin: {{{worker}, {STEPS}, {twin}}}\n"
        )
        self.serving = Serving(directory, text, "--processes", str(processes))
        with np.load(DIGITS / "test.npz") as data:
            self.rows, self.labels = data["inputs"], data["labels"]
        self._asked = 0
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        self.enter_context(self.serving)
        self.serving.ready()
        return self

    def ask(
        self, rows: int = 1, *, at: int | None = None, model: str = "digits", **fields: Any
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and body of the answer to the next *rows* rows, or those from *at* on.

        *fields* are those of the request besides its inputs; ``labels=True`` sends the true ones.
        """
        start = self._asked if at is None else at
        if at is None:
            self._asked = (start + rows) % (len(self.rows) - rows)
        inputs: list[dict[str, Any]] = [
            {
                "name": "image", "datatype": "FP32", "shape": [rows, 64],
                "data": self.rows[start : start + rows].ravel().tolist(),
            }
        ]  # fmt: skip
        if fields.pop("labels", False):
            inputs.append({
                "name": "infergate.label", "datatype": "INT64", "shape": [rows],
                "data": self.labels[start : start + rows].tolist(),
            })  # fmt: skip
        connection = self._connection
        if connection is None:
            connection = http.client.HTTPConnection(self.serving.http, timeout=30)
            self._connection = connection
            self.callback(connection.close)
        headers = {"Content-Type": "application/json", **fields.pop("headers", {})}
        connection.request(
            "POST", f"/v2/models/{model}/infer", json.dumps({"inputs": inputs, **fields}), headers
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), json.loads(answer.read())

    def shadows(self) -> dict[str, float]:
        """What became of what was to be asked of the twin, by result."""
        found = self.serving.metrics("infergate_shadow_total")
        return {
            key.partition('result="')[2].partition('"')[0]: value
            for key, value in found.items()
            if value
        }

    def samples(self, name: str = "samples_total") -> dict[str, float]:
        """Rows of digits that were handed over by role, or lost by reason."""
        label = "role" if name == "samples_total" else "reason"
        return {
            key.partition(f'{label}="')[2].partition('"')[0]: value
            for key, value in self.serving.metrics(f"infergate_{name}").items()
        }

    def quality(self, query: str = "") -> dict[str, Any]:
        """What the admin port says of the digits' figures."""
        status, text = self.serving.get(f"/v1/quality/digits{query}", admin=True)
        assert status == 200, text
        found: dict[str, Any] = json.loads(text)
        return found


def until(condition: Callable[[], bool], patience: float = 30.0) -> None:
    """Look again and again until *condition* holds; fails after *patience* seconds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "what was waited for has not come"
        time.sleep(0.05)
