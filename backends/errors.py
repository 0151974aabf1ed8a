# SPDX-License-Identifier: Apache-2.0
"""The one error that ends a start."""

from __future__ import annotations


class StartError(Exception):
    """The worker cannot serve: *where* is the path, option or address, *why* says what to mend."""

    def __init__(self, where: object, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = str(where)
        self.why = why
