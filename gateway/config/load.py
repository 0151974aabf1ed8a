# SPDX-License-Identifier: Apache-2.0
"""Load: a file becomes a `Config`, or a `ConfigError` with every fault in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.config.bind import FAILED, Binder
from gateway.config.checks import FILES, SECTIONS
from gateway.config.root import Config
from gateway.config.scalar import shorten
from gateway.config.secret import MASK
from gateway.config.tree import MAX_BYTES, Fault, parse
from gateway.errors import ConfigError
from gateway.units import format_size

if TYPE_CHECKING:
    from collections.abc import Mapping

# More of them do not help: the first ones are the cause of the rest.
_MOST_SHOWN: Final = 100


def load(
    path: str,
    *,
    environment: Mapping[str, str] | None = None,
    files: bool = True,
) -> Config:
    """The configuration in the file *path*; raises ConfigError.

    *environment* is what ``${NAME}`` refers to, that of the process by default. *files* says
    whether the models must be there; paths are relative to the working directory.
    """
    return read(
        decoded(read_file(path), name=path), name=path, environment=environment, files=files
    )


def read_file(path: str) -> bytes:
    """The bytes of the configuration file *path*; raises ConfigError."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigError([f"{shorten(path)}: not a path: {error}"]) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{path}: expected at most {format_size(MAX_BYTES)}"])
    return data


def decoded(data: bytes, *, name: str) -> str:
    """The text of a configuration file; *name* stands for it in faults. Raises ConfigError."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{name}:{line}: not UTF-8: byte 0x{data[error.start]:02x}"]) from error


def read(
    text: str,
    *,
    name: str,
    environment: Mapping[str, str] | None = None,
    files: bool = True,
) -> Config:
    """The configuration *text*; *name* stands for its file in faults. Raises ConfigError."""
    if environment is None:
        environment = os.environ
    binder = Binder(environment, checks=SECTIONS, files=FILES if files else None)
    faults: list[Fault] = []
    config: object = FAILED
    try:
        tree, faults = parse(text)
        if tree is None:
            raise Fault(1, "", "is empty; expected at least models")  # noqa: TRY301 - one way out
        config = binder.bind(tree, Config, "")
    except Fault as fault:
        faults.append(fault)
    faults += binder.faults
    if faults or not isinstance(config, Config):
        faults.sort(key=lambda fault: fault.line)
        lines = [_line(name, fault) for fault in faults[:_MOST_SHOWN]]
        for secret in binder.secrets:
            lines = [line.replace(secret, MASK) for line in lines]
        if len(faults) > _MOST_SHOWN:
            lines.append(f"{name}: and {len(faults) - _MOST_SHOWN} more faults")
        raise ConfigError(lines)
    return config


def _line(name: str, fault: Fault) -> str:
    path = f" {fault.path}:" if fault.path else ""
    return f"{name}:{fault.line}:{path} {fault.message}"
