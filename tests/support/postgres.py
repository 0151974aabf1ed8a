# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: a server of its own for a test, on a Unix socket, as a user that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/bin", "/usr/bin")


def programs() -> Path | None:
    """Where its programs are; None where it is not installed."""
    for place in _PLACES:
        for directory in sorted(Path("/").glob(place.lstrip("/")), reverse=True):
            if (directory / "initdb").exists() and (directory / "postgres").exists():
                return directory
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


class Server:
    """A server with its data in *directory*."""

    def __init__(self, directory: Path, binaries: Path, user: dict[str, Any]) -> None:
        self._directory = directory
        self._binaries = binaries
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://infergate@/postgres?host={directory}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        directory = str(self._directory)
        self._process = subprocess.Popen(
            [
                str(self._binaries / "postgres"), "-D", f"{directory}/data", "-k", directory,
                "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=10",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._user,
        )  # fmt: skip
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", directory]
        for _ in range(600):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            assert self._process.poll() is None, "it has ended"
            time.sleep(0.05)  # between two looks
        raise AssertionError("PostgreSQL does not start")

    def kill(self) -> None:
        """End it at once, as a crash does, with all of its processes."""
        if self._process is not None:
            # Immediate: its children end, no checkpoint is written.
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None


@contextmanager
def postgres(binaries: Path) -> Iterator[Server]:
    """A server that runs meanwhile."""
    directory = Path(tempfile.mkdtemp(prefix="infergate-pg-"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        # It refuses to run as root.
        names = [each.pw_name for each in pwd.getpwall()]
        entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(directory, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    server = Server(directory, binaries, user)
    try:
        subprocess.run(
            [
                binaries / "initdb", "-D", directory / "data", "-U", "infergate",
                "-A", "trust", "-N", "--no-locale", "-E", "UTF8",
            ],
            check=True,
            capture_output=True,
            cwd=directory,
            **user,
        )  # fmt: skip
        server.start()
        yield server
    finally:
        with suppress(subprocess.TimeoutExpired):
            server.kill()
        shutil.rmtree(directory, ignore_errors=True)
