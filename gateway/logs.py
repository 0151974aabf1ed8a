# SPDX-License-Identifier: Apache-2.0
"""The operational log: what processes say of themselves, one JSON object a line on stderr."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

from gateway.line_writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS: Final = ("debug", "info", "warning", "error")

# What every record has; anything else on it was given by the caller as `extra`.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, process, logger, message, and its `extra` fields.

    *process* names the writer, such as ``gateway-0``. A traceback is the field ``traceback``.
    """

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, tz=UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        extra: Mapping[str, Any] = vars(record)
        line.update((name, extra[name]) for name in extra if name not in _OWN and name not in line)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        try:
            return msgspec.json.encode(line, enc_hook=repr).decode()
        except (TypeError, UnicodeEncodeError):
            # A key that is no string, or a quoted text that is none: all of it as Python shows it.
            return json.dumps({name: repr(value) for name, value in line.items()})


class ThreadHandler(logging.Handler):
    """Hands lines to a writer thread, so that a frozen reader of stderr never stops a request."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.writer: LineWriter[bytes] = LineWriter(fd, bytes)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over the line of *record*; one that cannot be formatted is reported by logging."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a mistake in a log call must not fail the request in it
            self.handleError(record)
        else:
            self.writer.put(line.encode() + b"\n")

    def close(self) -> None:
        """Write what waits, for at most a second."""
        self.writer.close()
        super().close()


def setup(
    level: str = "info",
    stream: TextIO | None = None,
    *,
    process: str = "",
    threaded: bool = False,
) -> None:
    """Send everything from *level* upwards to *stream* (stderr), and nothing to anywhere else.

    *threaded*: write on a thread, for a process with requests on its loop; what waits there is
    written out when the interpreter ends. Raises ValueError on an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"log level '{level}': expected one of {', '.join(LEVELS)}")
    stream = stream or sys.stderr
    handler = ThreadHandler(stream.fileno()) if threaded else logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)


def set_level(level: str) -> None:
    """Send everything from *level* upwards from now on."""
    logging.getLogger().setLevel(level.upper())
