# SPDX-License-Identifier: Apache-2.0
"""One JSON line for what the log wants, with everything that explains it and no secret."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.access_log import AccessLog
from gateway.exchange import Exchange
from gateway.telemetry import Telemetry
from tests.support.exchanges import make_exchange


def written(directory: Path, exchange: Exchange, **fields: Any) -> dict[str, Any]:
    """The line that the log writes for *exchange*."""
    path = directory / "access.log"
    values: dict[str, Any] = {"status": 200, "error": "", "sent": 5, "seconds": 0.0123456}
    with path.open("wb") as file:
        log = AccessLog(telemetry=Telemetry(), fd=file.fileno(), clock=lambda: 1_700_000_000.25)
        log.write(exchange, **values | fields)
        log.close(patience=60)
    line, end = path.read_bytes().split(b"\n")
    assert end == b""
    result: dict[str, Any] = json.loads(line)
    return result


def test_a_line_tells_the_whole_way_of_a_request(tmp_path: Path) -> None:
    """Ids, outcome, sizes, timers in milliseconds, attempts, endpoint, cache state."""
    exchange = make_exchange(body=b"0123456789")
    exchange.inference_id = "mine"
    trace = exchange.trace
    trace.queue, trace.preprocess, trace.lookup = 0.001, 0.0002, 0.00003
    trace.infer, trace.upstream = 0.004, 0.005
    trace.attempts, trace.endpoint, trace.batch_rows = 2, "digits-1", 16
    trace.cache = "fwd=uri-miss; stored"

    assert written(tmp_path, exchange, status=502, error="upstream_failed") == {
        "time": "2023-11-14T22:13:20.250Z",
        "request_id": "req-1",
        "inference_id": "mine",
        "client": "192.0.2.1",
        "protocol": "v2",
        "method": "POST",
        "target": "/v2/models/digits/infer",
        "model": "digits",
        "status": 502,
        "error": "upstream_failed",
        "bytes_in": 10,
        "bytes_out": 5,
        "queue_ms": 1.0,
        "preprocess_ms": 0.2,
        "cache_ms": 0.03,
        "infer_ms": 4.0,
        "upstream_ms": 5.0,
        "total_ms": 12.346,
        "attempts": 2,
        "endpoint": "digits-1",
        "batch_rows": 16,
        "cache": "fwd=uri-miss; stored",
    }


def test_bodies_headers_and_query_strings_are_never_logged(tmp_path: Path) -> None:
    """Wherever a client puts a key, it does not reach the log."""
    exchange = make_exchange(
        target="/v2/models/digits/infer?api_key=sesame",
        headers={"authorization": "Bearer sesame", "cookie": "sesame"},
        body=b'{"key": "sesame"}',
    )

    assert "sesame" not in json.dumps(written(tmp_path, exchange))


@pytest.mark.parametrize(
    "text", ['"},{"x":"', "a\nb", "\x00\x1b[2J", "\u2028", "\ud800", "é" * 900]
)
def test_what_a_client_chose_cannot_forge_a_line(tmp_path: Path, text: str) -> None:
    """Any text stays one value of one line, cut to a length that a pipe keeps in one piece."""
    exchange = make_exchange(model=text)

    assert written(tmp_path, exchange)["model"] == text[:256]


@pytest.mark.parametrize(
    ("sample", "errors", "status", "wanted"),
    [
        (0.0, True, 200, False),
        (1.0, True, 200, True),
        (0.0, True, 400, True),
        (0.0, True, 503, True),
        (1.0, False, 503, False),
    ],
)
def test_errors_and_successes_are_chosen_apart(
    sample: float,
    errors: bool,  # noqa: FBT001 - a case
    status: int,
    wanted: bool,  # noqa: FBT001 - a case
) -> None:
    """*errors* decides alone about refusals and failures, *sample* about all else."""
    log = AccessLog(telemetry=Telemetry(), sample=sample, errors=errors)

    assert log.wants(status) is wanted


def test_sample_is_the_share_of_successes_that_are_logged() -> None:
    """A request is logged where its random number lies below the share."""
    numbers = iter([0.05, 0.0999, 0.1, 0.9])
    log = AccessLog(telemetry=Telemetry(), sample=0.1, chance=lambda: next(numbers))

    assert [log.wants(200) for _ in range(4)] == [True, True, False, False]


def test_dropped_lines_are_counted_once(tmp_path: Path, full: Callable[[AccessLog], None]) -> None:
    """The metric shows what was lost, however often it is scraped."""
    telemetry = Telemetry()
    with (tmp_path / "log").open("rb") as unwritable:
        log = AccessLog(telemetry=telemetry, fd=unwritable.fileno())
        full(log)
        log.close(patience=60)

    for _ in range(3):
        telemetry.take()

    assert telemetry.log_dropped.cell().value == 4


@pytest.fixture
def full(tmp_path: Path) -> Callable[[AccessLog], None]:
    """Writes four lines, to a file that is there."""
    (tmp_path / "log").touch()

    def fill(log: AccessLog) -> None:
        for _ in range(4):
            log.write(make_exchange(), status=200, error="", sent=0, seconds=0.0)

    return fill
