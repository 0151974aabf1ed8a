# SPDX-License-Identifier: Apache-2.0
"""Serving: the whole program in processes of its own, as a user starts it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

READY: Final = re.compile(
    r"infergate: ready on http://(\S+) \(admin http://(\S+)\), "
    r"(\d+) models?, (\d+) workers?, in \d+\.\d s\n"
)


class Serving(AbstractContextManager["Serving"]):
    """``infergate serve`` of the configuration *text* on free ports, killed at the end.

    *directory* holds the configuration and everything that the program makes.
    """

    def __init__(self, directory: Path, text: str, *arguments: str) -> None:
        self.config = directory / "config.yaml"
        self.config.write_text(text)
        self.temporary = directory / "temporary"
        self.temporary.mkdir(exist_ok=True)
        self.http = ""
        self.admin = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "-c", str(self.config), *arguments],
            env={
                **os.environ,
                "TMPDIR": str(self.temporary),
                # Where a ledger lies that no configuration puts elsewhere.
                "XDG_STATE_HOME": str(directory / "state"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()  # its children die with it
        self.process.communicate()

    def ready(self) -> Self:
        """Wait until it says that it is ready; fails with what it wrote where it never is."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = READY.fullmatch(line)
        if found is None:
            self.process.kill()
            raise AssertionError(f"{line!r} {self.process.communicate()[1]}")
        self.http, self.admin = found[1], found[2]
        return self

    def ends(self) -> tuple[int, str]:
        """Wait for the end: the exit code and what was written to stderr."""
        _, said = self.process.communicate()
        return self.process.returncode, said

    def logs(self, part: str) -> str:
        """Wait for a line on stderr that has *part* in it, and give that line."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if part in line:
                return line
        raise AssertionError(f"ended without a word of {part}")

    def swallow(self) -> None:
        """Read what it writes until it ends, so that it never waits for its reader."""
        assert self.process.stderr is not None
        for _ in self.process.stderr:
            pass

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask the supervisor to end."""
        self.process.send_signal(number)

    def children(self) -> dict[str, int]:
        """The pid of each child by its module, ``gateway.process``, or a worker's by its socket.

        The sockets' names are ``digits-0``, ``digits-1``.
        """
        pid = self.process.pid
        found = {}
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                argv = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if "-m" not in argv:
                continue  # just ended, or not yet what it is about to become
            name = argv[argv.index("-m") + 1]
            if name == "backends":
                name = Path(argv[argv.index("--listen") + 1]).stem
            found[name] = int(child)
        return found

    def get(self, path: str, *, admin: bool = False) -> tuple[int, str]:
        """Status and text of *path*, on the data port or on the *admin* port."""
        return self._exchange("GET", path, None, self.admin if admin else self.http)

    def post(self, path: str, value: object) -> tuple[int, Any]:
        """Status and JSON answer to *value*, sent as JSON to the data port."""
        status, text = self._exchange("POST", path, json.dumps(value), self.http)
        return status, json.loads(text)

    def act(self, path: str, **body: object) -> tuple[int, Any]:
        """Status and JSON answer to *body*, sent to the admin port."""
        status, text = self._exchange("POST", path, json.dumps(body), self.admin)
        return status, json.loads(text)

    def reload(self, text: str) -> tuple[int, Any]:
        """Have *text* be the configuration; status and JSON answer of the reload."""
        self.config.write_text(text)
        return self.act("/v1/config/reload")

    def metrics(self, name: str, *, admin: bool = False) -> dict[str, float]:
        """The values of all series of *name*, by their labels as they are written.

        Those of the process that is asked, a gateway or control, are of now.
        """
        _, text = self.get("/metrics", admin=admin)
        series = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {
            labels.removeprefix(name): float(value)
            for labels, _, value in series
            if labels == name or labels.startswith(f"{name}{{")
        }

    def endpoints(self, model: str) -> dict[str, dict[str, Any]]:
        """What the admin port says of the endpoints of *model*, by their names."""
        _, text = self.get("/v1/backends", admin=True)
        found = json.loads(text)["models"].get(model, {"endpoints": []})
        return {each["name"]: each for each in found["endpoints"]}

    @staticmethod
    def _exchange(method: str, path: str, body: str | None, where: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(where, timeout=60)
        try:
            headers = {"Connection": "close"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()
