# SPDX-License-Identifier: Apache-2.0
"""The operational log is one JSON object a line, whatever is logged."""

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import logs


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """What was logged."""
    return [
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        for line in stream.getvalue().split("\n")[:-1]
    ]


def test_a_record_is_one_object_with_its_extra_fields() -> None:
    """Time, level, process, logger, message; fields of the caller stand beside them."""
    stream = io.StringIO()
    logs.setup("info", stream, process="gateway-0")

    logging.getLogger("gateway.x").warning("endpoint %s ejected", "a", extra={"endpoint": "a"})

    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line.pop("pid") > 0
    assert line == {
        "level": "warning",
        "process": "gateway-0",
        "logger": "gateway.x",
        "message": "endpoint a ejected",
        "endpoint": "a",
    }


def test_levels_below_the_one_set_are_left_out() -> None:
    """The configured level is a floor."""
    stream = io.StringIO()
    logs.setup("warning", stream)

    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("x"), level)(level)

    assert [line["level"] for line in lines(stream)] == ["warning", "error"]


def test_an_exception_stays_on_its_line() -> None:
    """A traceback is one field, so that a collector does not cut it up."""
    stream = io.StringIO()
    logs.setup("info", stream)
    try:
        int("no\nway")
    except ValueError:
        logging.getLogger("x").exception("failed")

    (line,) = lines(stream)
    assert line["message"] == "failed"
    assert "ValueError: invalid literal" in line["traceback"]


@pytest.mark.parametrize(
    "value", ["\ud800", b"\xff", object(), {"a": {1, 2}}, {("k",): 1}, float("nan")]
)
def test_any_value_can_be_logged(value: object) -> None:
    """What is no JSON is shown as Python does; logging never raises."""
    stream = io.StringIO()
    logs.setup("info", stream)

    logging.getLogger("x").info("%s", value, extra={"field": value})

    assert len(lines(stream)) == 1


def test_a_mistake_in_a_log_call_does_not_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong format must not fail the request in which it is logged."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with (tmp_path / "log").open("w") as file:
        logs.setup("info", file, threaded=True)

        logging.getLogger("x").info("%d", "no number")


def test_warnings_are_logged_too() -> None:
    """A library's warning does not write a line of another form."""
    stream = io.StringIO()
    logs.setup("info", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", UserWarning, stacklevel=1)

    assert "UserWarning: old" in lines(stream)[0]["message"]


def test_setting_up_again_replaces_the_first() -> None:
    """One event is one line."""
    first, second = io.StringIO(), io.StringIO()
    logs.setup("info", first)
    logs.setup("info", second)

    logging.getLogger("x").info("once")

    assert (len(lines(first)), len(lines(second))) == (0, 1)


def test_an_unknown_level_is_refused() -> None:
    """The error says which there are."""
    with pytest.raises(ValueError, match="'loud': expected one of debug, info, warning, error"):
        logs.setup("loud")


def test_a_threaded_log_is_complete_when_it_is_closed(tmp_path: Path) -> None:
    """What was logged before the end is in the file after it."""
    path = tmp_path / "log"
    with path.open("w") as file:
        logs.setup("info", file, threaded=True)
        for number in range(100):
            logging.getLogger("x").info("%d", number)
        (handler,) = logging.getLogger().handlers
        assert isinstance(handler, logs.ThreadHandler)
        handler.writer.close(patience=60)

    messages = [json.loads(line)["message"] for line in path.read_text().splitlines()]
    assert messages == [str(number) for number in range(100)]


def test_the_default_stream_is_stderr() -> None:
    """Standard output stays free for results."""
    logs.setup("info")

    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr


def test_the_level_can_be_changed_later() -> None:
    """What is written already stays."""
    stream = io.StringIO()
    logs.setup("info", stream)
    logs.set_level("error")
    logging.getLogger("x").info("left out")
    logging.getLogger("x").error("written")
    assert stream.getvalue().count("\n") == 1
