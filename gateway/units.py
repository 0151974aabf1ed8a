# SPDX-License-Identifier: Apache-2.0
"""Units: how a person writes times, sizes, shares and addresses, and what they are inside.

A field of a configuration section says its unit in its type, ``Annotated[float, Meta(...)]``;
inside, times are seconds, sizes are bytes and shares are numbers from 0 to 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

_DURATIONS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES: Final = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
# Numbers of at most this many digits: beyond them a person has mistyped.
_NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_DURATION: Final = re.compile(rf"({_NUMBER})(us|ms|s|m|h|d)")
_SIZE: Final = re.compile(rf"({_NUMBER})([KMG]i?B|B)")
_SHARE: Final = re.compile(rf"({_NUMBER})(%?)")
_PORT: Final = r"[0-9]{1,5}"
_HOST: Final = r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])"
_ADDRESS: Final = re.compile(rf"({_HOST}):({_PORT})")
_URL: Final = re.compile(rf"https?://({_HOST})(?::({_PORT}))?/?")
# sockaddr_un holds 108 bytes with the final zero.
_LONGEST_SOCKET: Final = 107


def parse_duration(text: str) -> float:
    """Seconds of ``250ms``, ``1.5s``, ``10m``; ``0`` needs no unit. Raises ValueError."""
    if text == "0":
        return 0.0
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(
            f"expected a time with its unit, like 250ms or 1.5s (us, ms, s, m, h, d), got '{text}'"
        )
    return float(found[1]) * _DURATIONS[found[2]]


def format_duration(seconds: float) -> str:
    """*seconds* as `parse_duration` reads them, in the largest unit that leaves it whole."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s", "ms", "us"):
        amount = seconds / _DURATIONS[unit]
        if amount >= 1 and math.isclose(amount, round(amount), rel_tol=1e-12):
            return f"{round(amount)}{unit}"
    unit = "s" if seconds >= 1 else "ms" if seconds >= 1e-3 else "us"
    return f"{seconds / _DURATIONS[unit]:.9f}".rstrip("0").rstrip(".") + unit


def parse_size(text: str) -> int:
    """Bytes of ``64MiB``, ``1.5GB``, ``512B``; ``0`` needs no unit. Raises ValueError."""
    if text == "0":
        return 0
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(
            "expected a size with its unit, like 64MiB (B, KB, MB, GB are powers of 1000, "
            f"KiB, MiB, GiB of 1024), got '{text}'"
        )
    number, unit = found[1], _SIZES[found[2]]
    size = int(number) * unit if number.isdigit() else float(number) * unit
    if size != int(size):
        raise ValueError(f"expected a whole number of bytes, got '{text}'")
    return int(size)


def format_size(size: int) -> str:
    """*size* as `parse_size` reads it, exactly, in the largest unit that leaves it whole."""
    if size == 0:
        return "0B"
    for unit in ("GiB", "MiB", "KiB", "GB", "MB", "KB"):
        if size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]}{unit}"
    return f"{size}B"


def parse_share(text: str) -> float:
    """A share from 0 to 1 of ``0.25`` or ``25%``. Raises ValueError."""
    found = _SHARE.fullmatch(text)
    share = float(found[1]) / (100 if found[2] else 1) if found else math.nan
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share from 0 to 1, or from 0% to 100%, got '{text}'")
    return share


def format_share(share: float) -> str:
    """*share* as `parse_share` reads it."""
    return f"{share:.9f}".rstrip("0").rstrip(".") or "0"


def parse_address(text: str) -> str:
    """*text* itself if it is ``HOST:PORT`` or ``[IPV6]:PORT``. Raises ValueError."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(f"expected HOST:PORT, like 127.0.0.1:8000 or [::1]:8000, got '{text}'")
    if int(found[2]) > 65535:
        raise ValueError(f"expected a port of at most 65535, got '{text}'")
    return text


def parse_worker_address(text: str) -> str:
    """*text* itself if it is ``unix:PATH`` or ``tcp:HOST:PORT``. Raises ValueError."""
    kind, separator, rest = text.partition(":")
    if not separator or kind not in {"unix", "tcp"} or not rest:
        raise ValueError(f"expected unix:PATH or tcp:HOST:PORT, got '{text}'")
    if kind == "tcp":
        found = _ADDRESS.fullmatch(rest)
        if found is None or not 0 < int(found[2]) <= 65535:
            raise ValueError(
                f"expected tcp:HOST:PORT with the port that the worker listens on, got '{text}'"
            )
    elif len(rest.encode()) > _LONGEST_SOCKET or "\0" in rest:
        raise ValueError(f"expected a socket path of at most {_LONGEST_SOCKET} bytes, got '{text}'")
    return text


def parse_server_url(text: str) -> str:
    """*text* if it is ``http://HOST:PORT`` or ``https://…`` without a path. Raises ValueError."""
    found = _URL.fullmatch(text)
    if found is None or int(found[2] or 1) not in range(1, 65536):
        hint = "; keys belong into remote.headers, as ${NAME}" if "@" in text else ""
        shown = "" if "@" in text else f", got '{text}'"
        raise ValueError(f"expected http://HOST:PORT or https://HOST:PORT{shown}{hint}")
    return text.removesuffix("/")


def host_of(address: str) -> tuple[str, int]:
    """Host, without brackets, and port of ``tcp:HOST:PORT``, ``http://HOST:PORT`` or ``https://…``.

    A URL without a port has that of its scheme.
    """
    kind, _, rest = address.partition(":")
    host, separator, port = rest.removeprefix("//").rpartition(":")
    if not separator or host.count("[") != host.count("]"):
        return rest.removeprefix("//").strip("[]"), 443 if kind == "https" else 80
    return host.strip("[]"), int(port)


class Unit(msgspec.Struct, frozen=True):
    """How values of one *name* are read from text and written as text.

    *pattern* is what the text looks like, *number* the JSON Schema of bare numbers that do too.
    """

    name: str
    parse: Callable[[str], Any]
    format: Callable[[Any], str] = str
    pattern: str = ""
    number: dict[str, Any] | None = None


# The types of fields: `ttl: Duration = 600.0`, or with bounds `Annotated[Duration, Meta(gt=0)]`.
DURATION: Final = Unit(
    "duration",
    parse_duration,
    format_duration,
    rf"^(0|{_NUMBER}(us|ms|s|m|h|d))$",
    {"const": 0},
)
SIZE: Final = Unit("size", parse_size, format_size, rf"^(0|{_NUMBER}([KMG]i?B|B))$", {"const": 0})
SHARE: Final = Unit(
    "share",
    parse_share,
    format_share,
    rf"^{_NUMBER}%?$",
    {"type": "number", "minimum": 0, "maximum": 1},
)
ADDRESS: Final = Unit("address", parse_address, pattern=rf"^{_HOST}:{_PORT}$")
WORKER_ADDRESS: Final = Unit(
    "worker address", parse_worker_address, pattern=rf"^(unix:.+|tcp:{_HOST}:{_PORT})$"
)
SERVER_URL: Final = Unit(
    "server URL", parse_server_url, pattern=rf"^https?://{_HOST}(?::{_PORT})?/?$"
)

Duration = Annotated[float, msgspec.Meta(extra={"unit": DURATION})]
Size = Annotated[int, msgspec.Meta(extra={"unit": SIZE})]
Share = Annotated[float, msgspec.Meta(extra={"unit": SHARE})]
Address = Annotated[str, msgspec.Meta(extra={"unit": ADDRESS})]
WorkerAddress = Annotated[str, msgspec.Meta(extra={"unit": WORKER_ADDRESS})]
ServerUrl = Annotated[str, msgspec.Meta(extra={"unit": SERVER_URL})]
