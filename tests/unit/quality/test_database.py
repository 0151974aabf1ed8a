# SPDX-License-Identifier: Apache-2.0
"""Opening the ledger's database, and the words for what is wrong with it."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, OperationalError

from gateway.quality.database import Database, Unusable, default_url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger may be, in a directory that is not there yet."""
    return tmp_path / "state" / "ledger.sqlite3"


def opened(path: Path) -> Database:
    """A database that was opened."""
    database = Database(f"sqlite:///{path}", busy=0.1)
    database.open().close()
    return database


def test_a_new_ledger_is_for_its_user_alone(path: Path) -> None:
    """Ids may be telling; and its directory is made."""
    opened(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_ledger_is_opened_again_as_it_was(path: Path) -> None:
    """Its log is written ahead, so that readers and the writer do not wait for each other."""
    opened(path).close()
    database = opened(path)
    connection = database.open()
    assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    connection.close()
    database.close()


def test_a_newer_ledger_is_left_alone(path: Path) -> None:
    """What a program does not know it does not write to."""
    opened(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ledger_meta SET value = '9'")
    with pytest.raises(Unusable, match="has version 9, and this Infergate knows 1") as error:
        opened(path)
    assert error.value.reason == "newer"


def test_two_infergates_do_not_share_a_ledger(path: Path) -> None:
    """The second one says so, until the first has gone."""
    first = opened(path)
    second = Database(f"sqlite:///{path}", busy=0.1)
    with pytest.raises(Unusable, match="used by another Infergate") as error:
        second.open()
    assert error.value.reason == "in_use"
    first.close()
    second.open().close()
    second.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With the key that says where else."""
    (tmp_path / "file").write_text("")
    database = Database(f"sqlite:///{tmp_path / 'file' / 'ledger.sqlite3'}", busy=0.1)
    with pytest.raises(Unusable, match=r"file/ledger.sqlite3: .*; set ledger.url") as error:
        database.open()
    assert error.value.reason == "unreachable"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SQLITE_BUSY", "locked"),
        ("SQLITE_BUSY_SNAPSHOT", "locked"),
        ("SQLITE_FULL", "full"),
        ("SQLITE_IOERR_WRITE", "full"),
        ("SQLITE_CORRUPT_INDEX", "corrupt"),
        ("SQLITE_NOTADB", "corrupt"),
        ("SQLITE_READONLY_DBMOVED", "read_only"),
        ("SQLITE_CANTOPEN", "unreachable"),
        ("SQLITE_NOMEM", "failed"),
    ],
)
def test_faults_of_sqlite_have_a_reason(path: Path, name: str, reason: str) -> None:
    """By their names, whatever the words are."""
    fault = sqlite3.OperationalError("words")
    fault.sqlite_errorname = name
    said = Database(f"sqlite:///{path}", busy=1).unusable(OperationalError("SELECT", None, fault))
    assert said.reason == reason
    assert "SELECT" not in str(said)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("53100", "full"),
        ("55P03", "locked"),
        ("40P01", "locked"),
        ("57P01", "unreachable"),
        ("08006", "unreachable"),
        ("28P01", "unreachable"),
        ("42501", "read_only"),
        ("XX001", "corrupt"),
        ("0A000", "failed"),
        (None, "unreachable"),
    ],
)
def test_faults_of_postgresql_have_a_reason(state: str | None, reason: str) -> None:
    """By their codes; without one there was no connection."""

    class Fault(Exception):
        sqlstate = state

    database = Database("postgresql://user:secret@host/name", busy=1)
    said = database.unusable(DatabaseError("SELECT", None, Fault("words")))
    assert said.reason == reason
    assert "secret" not in str(said)
    assert "user" in str(said)


def test_the_default_place_survives_a_restart(tmp_path: Path) -> None:
    """What systemd gives, else the user's directory for states."""
    for environment, directory in (
        ({"STATE_DIRECTORY": "/s/a:/s/b", "XDG_STATE_HOME": "/x"}, "/s/a"),
        ({"XDG_STATE_HOME": "/x"}, "/x/infergate"),
        ({"HOME": "/u/ann"}, "/u/ann/.local/state/infergate"),
        ({}, "/.local/state/infergate"),
    ):
        assert default_url(environment) == f"sqlite:///{directory}/ledger.sqlite3"
