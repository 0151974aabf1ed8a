# SPDX-License-Identifier: Apache-2.0
"""The section ``ledger``: where predictions, labels and decisions are kept, and for how long."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Annotated, Final

from msgspec import Meta, Struct

from gateway.units import Duration, Size, Unit

_PATTERN: Final = r"^(sqlite:///.+|postgresql(\+psycopg)?://.+)$"


def parse_ledger_url(text: str) -> str:
    """*text* itself if it names a database. Raises ValueError, which shows no password."""
    if not re.match(_PATTERN, text):
        kind = text.partition(":")[0][:32]
        raise ValueError(
            "expected sqlite:///PATH or postgresql://USER@HOST/NAME, with a password in ~/.pgpass "
            f"or in ${{NAME}}; got one that begins with '{kind}'"
        )
    return text


LEDGER_URL: Final = Unit("database URL", parse_ledger_url, pattern=_PATTERN)
LedgerUrl = Annotated[str, Meta(extra={"unit": LEDGER_URL})]


class LedgerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """It is opened only where a model has a section ``quality`` or ``shadow``."""

    url: Annotated[
        LedgerUrl | None,
        Meta(
            description=(
                "The database: `sqlite:///relative/path`, `sqlite:////absolute/path` or "
                "`postgresql://user@host/name`, which needs the extra `postgres`. Where it is not "
                "said, a file ledger.sqlite3 under `$STATE_DIRECTORY`, which systemd sets, else "
                "under `$XDG_STATE_HOME/infergate`, else under `~/.local/state/infergate`. "
                "Danger: each Infergate needs one of its own."
            ),
        ),
    ] = None
    retention: Annotated[
        Duration,
        Meta(
            ge=60,
            description=(
                "How long predictions and labels are kept. Danger: a label for a prediction that "
                "is gone is answered `expired`, and figures over a longer time lose rows when "
                "the control process is started anew."
            ),
        ),
    ] = 30 * 86400.0
    max_bytes: Annotated[
        Size,
        Meta(
            ge=1 << 20,
            description=(
                "How large the ledger may grow; beyond it the oldest predictions are given up "
                "before their time. A prediction of ten classes takes some 70 bytes."
            ),
        ),
    ] = 4 << 30
    busy_timeout: Annotated[
        Duration,
        Meta(
            gt=0,
            le=60,
            description=(
                "How long one attempt waits for a database that another program has locked. Labels "
                "are then refused with 503, predictions wait in memory for the next attempt."
            ),
        ),
    ] = 2.0
    queue_bytes: Annotated[
        Size,
        Meta(
            ge=1 << 20,
            description=(
                "How much may wait in memory for the database; beyond it predictions are dropped "
                "and counted, and labels refused with 503."
            ),
        ),
    ] = 64 << 20
    early_labels: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000_000,
            description=(
                "How many labels may wait for a prediction that is not known yet; beyond it they "
                "are refused. Each takes some 200 bytes of memory."
            ),
        ),
    ] = 100_000

    def __post_init__(self) -> None:
        # Checked here, and not when it is first used, so that `check` says it.
        if (self.url or "").startswith("postgresql") and find_spec("psycopg") is None:
            raise ValueError(
                "url: a ledger in PostgreSQL needs a package that is not installed (psycopg); "
                "install infergate[postgres]"
            )

    def __repr__(self) -> str:
        """Without who logs in."""
        kind = (self.url or "sqlite").partition(":")[0]
        return f"LedgerConfig({kind}, retention={self.retention:g}, max_bytes={self.max_bytes})"
