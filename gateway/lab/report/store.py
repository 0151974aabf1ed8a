# SPDX-License-Identifier: Apache-2.0
"""Store: reports of the past, a file each, in the user's data directory.

That is ``$INFERGATE_BENCH_DIR``, or ``infergate/bench`` in ``$XDG_DATA_HOME``, which is
``~/.local/share`` where it is not set (XDG Base Directory Specification).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway.lab import LabError
from gateway.lab.report import document
from gateway.lab.report.document import Report

DIRECTORY: Final = "INFERGATE_BENCH_DIR"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")


def directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where reports are kept."""
    if own := environment.get(DIRECTORY):
        return Path(own)
    data = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "infergate" / "bench"


class Store:
    """The reports in one directory, which is made when the first one is kept."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __repr__(self) -> str:
        return f"<Store {self.where}>"

    def keep(self, report: Report) -> Path:
        """Write *report*, whole or not at all, under its name; raises LabError.

        One without a name gets one of its model and the moment, and a name is used once.
        """
        if not report.name:
            report.name = self._free(report)
        checked(report.name)
        path = self._path(report.name)
        if path.exists():
            raise LabError(f"a report '{report.name}' is kept already: expected another name")
        try:
            self.where.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.where, delete=False) as file:
                file.write(report.json())
            Path(file.name).replace(path)
        except OSError as error:
            raise LabError(f"{self.where}: cannot keep a report: {error.strerror}") from None
        return path

    def names(self) -> list[str]:
        """The names of all reports, the oldest first."""
        try:
            files = sorted(self.where.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        except OSError:
            return []
        return [path.stem for path in files]

    def get(self, name: str) -> Report:
        """The report *name*; raises LabError for one that is not kept."""
        if not _NAME.fullmatch(name) or not self._path(name).exists():
            last = ", ".join(self.names()[-3:])
            raise LabError(
                f"no report '{name}' in {self.where}"
                + (f"; the last ones are {last}" if last else ": it has none yet")
            )
        return document.read(str(self._path(name)))

    def all(self) -> Iterator[Report]:
        """Every report that can be read, the oldest first."""
        for name in self.names():
            try:
                yield self.get(name)
            except LabError:
                continue  # of another version; `get` says so to whoever asks for it

    def find(self, name: str) -> Report:
        """The report in the file *name*, or the kept one of that name; raises LabError."""
        if os.sep in name or Path(name).is_file():
            return document.read(name)
        return self.get(name)

    def _path(self, name: str) -> Path:
        return self.where / f"{name}.json"

    def _free(self, report: Report) -> str:
        moment = datetime.fromtimestamp(report.made, UTC).strftime("%Y%m%d-%H%M%S")
        model = report.runs[0].plan.model if report.runs else report.kind
        stem = f"{moment}-{_UNFIT.sub('-', model).strip('-.')[:60] or 'model'}"
        name, number = stem, 1
        while self._path(name).exists():
            number += 1
            name = f"{stem}-{number}"
        return name


def checked(name: str) -> str:
    """*name* if it can be one of a file; raises LabError."""
    if not _NAME.fullmatch(name):
        raise LabError(
            f"name '{name}': expected up to 100 letters, digits, '.', '_' and '-', "
            "of which the first is a letter or a digit"
        )
    return name
