# SPDX-License-Identifier: Apache-2.0
"""Options: what a person writes on the command line of a load test, and what it means.

Everything raises LabError with one line that names the option.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.lab import LabError
from gateway.units import parse_address, parse_duration, parse_share

if TYPE_CHECKING:
    from gateway.lab.load.run import Schedule

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# The secret of agents, where it is not in a file.
SECRET: Final = "INFERGATE_BENCH_SECRET"  # noqa: S105 - the name of a variable
_T = TypeVar("_T")


def schedule_of(
    schedule: Schedule | None, rate: float | None, concurrency: int | None, trace: str | None
) -> Schedule:
    """The schedule that the options ask for together."""
    if rate is None and trace is None:
        if schedule is not None:
            raise LabError(f"--schedule {schedule} needs --rate, in requests a second")
        return "closed"
    if concurrency is not None:
        raise LabError(
            "--concurrency is of a closed loop and --rate of an open one: give one of them, and "
            "--connections for how many an open loop may use"
        )
    if trace is None and schedule == "trace":
        raise LabError("--schedule trace needs --trace FILE")
    if trace is not None and schedule not in {None, "trace"}:
        raise LabError(f"--trace has a schedule of its own: leave out --schedule {schedule}")
    return "trace" if trace is not None else schedule or "poisson"


def duration(option: str, text: str) -> float:
    """Seconds."""
    return _parsed(option, text, parse_duration)


def share(option: str, text: str) -> float:
    """A number from 0 to 1."""
    return _parsed(option, text, parse_share)


def addresses(option: str, text: str | None) -> list[str]:
    """Several ``HOST:PORT`` with commas between them; none for None."""
    parts = text.split(",") if text is not None else []
    return [_parsed(option, part.strip(), parse_address) for part in parts]


def _parsed(option: str, text: str, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(text)
    except ValueError as error:
        raise LabError(f"{option}: {error}") from None


def check_level(level: float) -> None:
    """Refuse what is no level of an interval."""
    if not 0 < level < 1:
        raise LabError(f"--level {level:g}: expected a share between 0 and 1, such as 0.95")


def processes(text: str) -> int:
    """A number of them, 0 for ``auto``."""
    if text == "auto":
        return 0
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise LabError(f"--processes: expected auto or a number from 1, got '{text}'")


def header(text: str) -> tuple[str, str]:
    """Name and value of ``NAME: VALUE``, with the environment's variables for ``${…}``.

    Of a value nothing is ever said in an error: it may be a key.
    """
    name, separator, value = text.partition(":")
    if not separator or not _NAME.fullmatch(name):
        raise LabError("--header: expected 'NAME: VALUE'")

    def variable(found: re.Match[str]) -> str:
        held = os.environ.get(found[1])
        if held is None:
            raise LabError(f"--header {name}: the environment has no {found[1]}")
        return held

    value = _VARIABLE.sub(variable, value.strip())
    if not value.isprintable() or not value.isascii():
        raise LabError(f"--header {name}: expected printable ASCII")
    return name, value


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Name and dimensions of ``NAME:3x224x224``."""
    name, separator, sizes = text.rpartition(":")
    parts = sizes.split("x")
    if not separator or not name or not all(part.isdecimal() and int(part) for part in parts):
        raise LabError(f"--shape: expected NAME:3x224x224, got '{text}'")
    return name, tuple(map(int, parts))


def secret(path: str | None) -> str:
    """What agents know, from the file *path* or from the environment; empty for none."""
    if path is None:
        return os.environ.get(SECRET, "")
    try:
        held = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise LabError(f"--secret-file {path}: {why}") from None
    if not held:
        raise LabError(f"--secret-file {path}: empty; expected a secret")
    return held
