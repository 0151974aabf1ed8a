# SPDX-License-Identifier: Apache-2.0
"""Database: where the ledger is, how it is opened, and what is wrong when it cannot be used."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from gateway.quality.tables import META, METADATA, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Engine

# Why the ledger cannot be used now.
Reason = Literal[
    "locked", "full", "corrupt", "read_only", "unreachable", "newer", "in_use", "failed"
]
# Names the ledger among the advisory locks of a PostgreSQL server.
_ADVISORY: Final = 0x1F6A7E
# The write-ahead log is given back to the file system above this size, in bytes.
_JOURNAL: Final = 64 << 20
_SQLITE: Final[dict[str, Reason]] = {
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_FULL": "full",
    # A limit of file size or a quota shows as a failed write.
    "SQLITE_IOERR": "full",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_NOTADB": "corrupt",
    "SQLITE_READONLY": "read_only",
    "SQLITE_PERM": "read_only",
    "SQLITE_CANTOPEN": "unreachable",
}
# Classes and codes of PostgreSQL's errors.
_POSTGRES: Final[dict[str, Reason]] = {
    "53100": "full",
    "55P03": "locked",
    "40P01": "locked",
    "25006": "read_only",
    "42501": "read_only",
    "XX001": "corrupt",
    "XX002": "corrupt",
    "53": "full",
    "08": "unreachable",
    "28": "unreachable",
    "57": "unreachable",
    "3D": "unreachable",
}


class Unusable(Exception):
    """The ledger cannot be used now; *reason* in one word, the message for an operator."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


def default_url(environment: Mapping[str, str]) -> str:
    """The file of the ledger where the configuration names none."""
    given = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    # Without a home nothing can be written there, and the ledger says so in words.
    home = environment.get("HOME", "").rstrip("/")
    state = environment.get("XDG_STATE_HOME") or f"{home}/.local/state"
    directory = Path(given) if given else Path(state) / "infergate"
    return f"sqlite:///{directory / 'ledger.sqlite3'}"


class Database:
    """The database at *url*; *busy* bounds in seconds the wait for one that is locked."""

    def __init__(self, url: str, *, busy: float) -> None:
        self._url = make_url(url)
        if self._url.drivername == "postgresql":
            self._url = self._url.set(drivername="postgresql+psycopg")
        self._busy = busy
        self._engine: Engine | None = None
        self._lock: int | None = None
        self.where = self._url.render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"<Database {self.where}>"

    @property
    def sqlite(self) -> bool:
        """Whether it is a file."""
        return self._url.get_backend_name() == "sqlite"

    def open(self) -> Connection:
        """A connection to the ledger, made where there is none yet; raises Unusable."""
        try:
            if self.sqlite:
                self._claim()
            if self._engine is None:
                self._engine = self._made()
            connection = self._engine.connect()
            try:
                if not self.sqlite:
                    self._claim_server(connection)
                with connection.begin():
                    self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        except SQLAlchemyError as error:
            raise self.unusable(error) from error
        except OSError as error:
            why = f"the ledger {self.where}: {error.strerror}; set ledger.url"
            raise Unusable("unreachable", why) from error
        return connection

    def close(self) -> None:
        """Let another process have it."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def durable(self, connection: Connection, wanted: bool) -> None:  # noqa: FBT001 - a switch
        """Whether what is committed next must outlive a loss of power; outside a transaction."""
        if self.sqlite:
            raw: Any = connection.connection.driver_connection
            raw.execute(f"PRAGMA synchronous={'FULL' if wanted else 'NORMAL'}")

    def unusable(self, error: SQLAlchemyError) -> Unusable:
        """What *error* means, in words for an operator."""
        if isinstance(error, NoSuchModuleError) or not isinstance(error, DBAPIError):
            return Unusable("failed", f"the ledger {self.where}: {_line(error)}")
        reason = _reason(error.orig)
        said = _line(error.orig)
        return Unusable(reason, f"the ledger {self.where} {_WORDS[reason]} ({said})")

    def _made(self) -> Engine:
        if not self.sqlite:
            timeout = round(self._busy * 1000)
            return create_engine(
                self._url,
                poolclass=NullPool,
                paramstyle="format",
                connect_args={
                    "connect_timeout": max(2, round(self._busy)),
                    "options": f"-c lock_timeout={timeout} -c statement_timeout=60000",
                },
            )
        engine = create_engine(
            self._url,
            poolclass=NullPool,
            connect_args={"timeout": self._busy, "cached_statements": 256},
        )

        @event.listens_for(engine, "connect")
        def connected(raw: Any, _: object) -> None:  # noqa: ANN401 - the driver's connection
            # The driver begins no transactions: it would begin them too late to take the lock.
            raw.isolation_level = None
            raw.execute("PRAGMA journal_mode=WAL")
            raw.execute(f"PRAGMA journal_size_limit={_JOURNAL}")
            raw.execute("PRAGMA cache_size=-65536")
            raw.execute("PRAGMA temp_store=MEMORY")

        @event.listens_for(engine, "begin")
        def begun(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    def _claim(self) -> None:
        """Take the file for this process alone; raises OSError and Unusable."""
        if self._lock is not None:
            return
        path = Path(self._url.database or "")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(path.with_name(f"{path.name}.lock"), flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if not isinstance(error, BlockingIOError):
                raise
            raise Unusable("in_use", f"the ledger {self.where} {_WORDS['in_use']}") from None
        self._lock = lock
        # Readable by nobody else, whatever the umask: ids may be telling.
        os.close(os.open(path, flags, 0o600))

    def _claim_server(self, connection: Connection) -> None:
        """Take the database for this connection alone; raises Unusable.

        A server notices late that an earlier life of this process has ended, hence the wait.
        """
        try:
            with connection.begin():
                connection.execute(text(f"SELECT pg_advisory_lock({_ADVISORY})"))
        except DBAPIError as error:
            if _reason(error.orig) != "locked":
                raise
            raise Unusable("in_use", f"the ledger {self.where} {_WORDS['in_use']}") from None

    def _prepare(self, connection: Connection) -> None:
        if not inspect(connection).has_table(META.name):
            METADATA.create_all(connection)
            connection.execute(insert(META).values(name="version", value=str(VERSION)))
            return
        version = connection.scalar(select(META.c.value).where(META.c.name == "version"))
        if version != str(VERSION):
            raise Unusable(
                "newer",
                f"the ledger {self.where} has version {version}, and this Infergate knows "
                f"{VERSION}; run the one that wrote it, or set ledger.url to another place",
            )


def at_fault(error: Exception) -> bool:
    """Whether *error* is about what was to be written, and not about the database."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError | IntegrityError | ProgrammingError)
    return not isinstance(error, OSError)


_WORDS: Final[dict[Reason, str]] = {
    "locked": "is locked by another program; it is tried again",
    "full": "cannot be written: no room is left; make room, and it goes on by itself",
    "corrupt": "is damaged; move it away, and a new one is begun",
    "read_only": "cannot be written; let this user write it, or set ledger.url",
    "unreachable": "cannot be reached; it is tried again",
    "newer": "is of a newer version",
    "in_use": "is used by another Infergate; set ledger.url, each needs one of its own",
    "failed": "cannot be used; it is tried again",
}


def _reason(error: BaseException | None) -> Reason:
    name = getattr(error, "sqlite_errorname", None)
    if isinstance(name, str):
        parts = name.split("_")
        return _SQLITE.get("_".join(parts[:2]), "failed")
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return _POSTGRES.get(state) or _POSTGRES.get(state[:2], "failed")
    # psycopg says no more where there is no connection.
    return "unreachable"


def _line(error: BaseException | None) -> str:
    words = " ".join(str(error).split())
    with suppress(ValueError):
        # What SQLAlchemy adds: the statement, and a link.
        words = words[: words.index(" [SQL:")]
    return words[:300]
