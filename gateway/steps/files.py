# SPDX-License-Identifier: Apache-2.0
"""What steps need beside their fields: files, and packages that an extra installs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.steps.step import Misfit

if TYPE_CHECKING:
    from types import ModuleType

# No vocabulary and no graph of a step is larger; whatever is, is another kind of file.
_MAX_BYTES: Final = 1 << 30


def content(path: str) -> bytes:
    """The bytes of the file *path*; raises Misfit."""
    try:
        file = Path(path)
        if file.is_file() and file.stat().st_size > _MAX_BYTES:
            raise Misfit(f"file '{path}' has more than {_MAX_BYTES} bytes")
        return file.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Misfit(f"file '{path}' cannot be read, seen from {Path.cwd()}: {reason}") from None
    except ValueError as error:
        raise Misfit(f"'{path[:128]}' is not a path: {error}") from None


def package(module: str, *, extra: str) -> ModuleType:
    """The *module* of an optional package, imported now; raises Misfit where it is missing."""
    try:
        return import_module(module)
    except ImportError:
        raise Misfit(
            f"the package '{module}' is missing; install Infergate with its extra '{extra}': "
            f"pip install 'infergate[{extra}]'"
        ) from None
