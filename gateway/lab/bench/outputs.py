# SPDX-License-Identifier: Apache-2.0
"""Outputs: the files that a report is written to, and the store that keeps it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.lab import LabError
from gateway.lab.report.document import Report
from gateway.lab.report.export import csv_text, hgrm, markdown
from gateway.lab.report.page import html
from gateway.lab.report.reading import response_of
from gateway.lab.report.store import Store, checked, directory


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """Files to write, each None where it is not wanted, and whether and as what it is kept."""

    json: str | None = None
    report: str | None = None
    csv: str | None = None
    hgrm: str | None = None
    markdown: str | None = None
    name: str = ""
    keep: bool = False

    def check(self) -> None:
        """Raise LabError for a name that cannot be one."""
        if self.name:
            checked(self.name)
            if self.keep and self.name in Store(directory()).names():
                raise LabError(
                    f"--name {self.name}: a report of that name is kept already, expected another"
                )


def write(report: Report, outputs: Outputs) -> None:
    """Write what *outputs* ask for; LabError where a file cannot be written."""
    files: list[tuple[str | None, Callable[[Report], str | bytes]]] = [
        (outputs.json, Report.json),
        (outputs.report, html),
        (outputs.csv, csv_text),
        (outputs.hgrm, lambda one: hgrm(response_of(one))),
        (outputs.markdown, markdown),
    ]
    for path, make in files:
        if path is not None:
            made = make(report)
            try:
                Path(path).write_bytes(made if isinstance(made, bytes) else made.encode())
            except OSError as error:
                raise LabError(f"{path}: {error.strerror}") from None


def keep(report: Report, outputs: Outputs) -> None:
    """Keep *report* where it is to be; a directory that cannot be written is told, and no more."""
    report.name = outputs.name
    if not outputs.keep:
        return
    try:
        Store(directory()).keep(report)
    except LabError as error:
        # What was measured is on the screen and in the files: it is not lost.
        print(f"infergate bench: {error}", file=sys.stderr)
