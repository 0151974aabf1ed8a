# SPDX-License-Identifier: Apache-2.0
"""Equal requests on one connection, whole program: what is answered past the stages is no less."""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path
from typing import Self

import pytest

from tests.integration.test_cache_shared import count
from tests.integration.test_operate import infergate
from tests.support import models
from tests.support.serving import Serving

pytestmark = pytest.mark.e2e


def text(directory: Path, *, cache: str = "{verify: 0}", factor: int = 1) -> str:
    """One cached model, whose answer is *factor* times what it is asked."""
    models.save(models.identity(), directory / "m")
    return (
        "server: {http: '127.0.0.1:0', admin: '127.0.0.1:0', grace: 5s}\n"
        f"models:\n  m:\n    cache: {cache}\n    preprocess: [{{scale: {{factor: {factor}}}}}]\n"
        f"    backends: [{{worker: {{path: {directory / 'm'}}}}}]\n"
    )


class Line:
    """A connection that sends the same bytes again and again."""

    def __init__(self, serving: Serving, *, row: float = 1.0, head: str = "") -> None:
        host, port = serving.http.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        body = json.dumps(
            {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [row, row]}]}
        )
        self._raw = (
            f"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\n{head}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()

    def ask(self) -> tuple[dict[str, str], list[float]]:
        """Headers and numbers of the next answer."""
        self._socket.sendall(self._raw)
        assert self._answers.readline() == b"HTTP/1.1 200 OK\r\n"
        headers = http.client.parse_headers(self._answers)
        answer = json.loads(self._answers.read(int(headers["Content-Length"])))
        return dict(headers.items()), answer["outputs"][0]["data"]

    def asked(self, times: int) -> list[tuple[dict[str, str], list[float]]]:
        """So many answers."""
        return [self.ask() for _ in range(times)]


def posted(serving: Serving, name: str, *labels: str, least: float) -> float:
    """A metric once it has come to *least*; processes post theirs once a second."""
    while (value := count(serving, name, *labels)) < least:
        pass
    return value


def test_each_is_counted_and_has_an_id_of_its_own(tmp_path: Path) -> None:
    """Requests, hits and times, as if each had gone through all stages."""
    with Serving(tmp_path, text(tmp_path)).ready() as serving, Line(serving) as line:
        answers = line.asked(500)
        assert {tuple(numbers) for _, numbers in answers} == {(1.0, 1.0)}
        names = {tuple(headers) for headers, _ in answers[1:]}
        assert len(names) == 1
        assert "Age" in answers[-1][0]
        assert re.fullmatch(r"infergate; hit; ttl=\d+", answers[-1][0]["Cache-Status"])
        assert re.fullmatch(r"cache;dur=[\d.]+, total;dur=[\d.]+", answers[-1][0]["Server-Timing"])
        digests = {headers["Infergate-Model-Digest"] for headers, _ in answers}
        assert len(digests) == 1
        assert len({headers["X-Inference-Id"] for headers, _ in answers}) == 500
        m = 'model="m"'
        assert posted(serving, "infergate_requests_total", m, 'code="200"', least=500) == 500
        assert count(serving, "infergate_cache_total", m, 'result="hit"') == 499
        assert count(serving, "infergate_cache_hit_seconds_count", m) == 499
        assert count(serving, "infergate_attempts_total", m) == 1


def test_they_end_with_a_purge_and_with_a_reload(tmp_path: Path) -> None:
    """A client that never stops asking gets no answer of before."""
    with Serving(tmp_path, text(tmp_path)).ready() as serving, Line(serving) as line:
        line.asked(20)
        assert infergate(serving, "cache", "purge", "--model", "m")[0] == 0
        assert "hit" not in line.ask()[0]["Cache-Status"]
        assert "hit" in line.asked(20)[-1][0]["Cache-Status"]
        assert serving.reload(text(tmp_path, factor=3))[1]["result"] == "applied"
        assert line.ask()[1] == [3.0, 3.0]
        assert line.asked(20)[-1][1] == [3.0, 3.0]


def test_they_end_with_their_time_to_live(tmp_path: Path) -> None:
    """And are made anew; nobody sees one that is older."""
    cache = "{verify: 0, ttl: 300ms, jitter: 0, stale_while_revalidate: 0, stale_if_error: 0}"
    with Serving(tmp_path, text(tmp_path, cache=cache)).ready() as serving, Line(serving) as line:
        misses = hits = 0
        while misses < 3:
            status = line.ask()[0]["Cache-Status"]
            misses += "miss" in status
            hits += "hit" in status
        assert hits > misses


def test_the_share_that_is_to_be_checked_is_checked(tmp_path: Path) -> None:
    """Repeats count in it, or a wrong answer would be given for ever."""
    cache = "{verify: 1%}"
    with Serving(tmp_path, text(tmp_path, cache=cache)).ready() as serving, Line(serving) as line:
        for _ in range(100):
            line.asked(100)
            if count(serving, "infergate_cache_verified_total", 'result="match"') >= 10:
                break
        else:
            pytest.fail("of 10,000 hits hardly one was checked")
