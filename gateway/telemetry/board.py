# SPDX-License-Identifier: Apache-2.0
"""Board: the place where processes post their metrics, so that any of them answers for all."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.telemetry.snapshot import decode, encode, merge, render, without_gauges

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.telemetry.families import Telemetry
    from gateway.telemetry.snapshot import Snapshot

_log = logging.getLogger(__name__)

SUFFIX: Final = ".msgpack"
# A live process posts every second; one silent for this long holds nothing that is still true.
STALE_SECONDS: Final = 5.0


def is_alive(pid: int) -> bool:
    """Whether a process *pid* exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Board:
    """The snapshots of all processes in *directory*, one file each; this process posts its own.

    What a scrape has once shown is on disk before it is shown, and a restarted process goes on
    from its file: no total ever goes back. The gauges of a process that died or fell silent are
    left out, its counters stay.
    """

    def __init__(
        self,
        directory: Path,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float] = time.monotonic,
        alive: Callable[[int], bool] = is_alive,
    ) -> None:
        self._directory = directory
        self._path = directory / f"{telemetry.process}{SUFFIX}"
        self._telemetry = telemetry
        self._clock = clock
        self._alive = alive
        # Posts may come from a worker thread; an older snapshot must not replace a newer one.
        self._lock = threading.Lock()
        self._posted = float("-inf")

    def __repr__(self) -> str:
        return f"<Board {self._path}>"

    @classmethod
    def open(cls, directory: str | Path, telemetry: Telemetry) -> Board:
        """Join the board in *directory* (made where it is missing) and resume its counters."""
        path = Path(directory)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        board = cls(path, telemetry)
        board.resume()
        return board

    def resume(self) -> None:
        """Go on from the counters that an earlier life of this process has posted."""
        earlier = self._read(self._path)
        if earlier is not None:
            self._telemetry.resume(earlier)

    def publish(self) -> None:
        """Post this process's values; raises OSError where the directory cannot be written."""
        self._post(self._telemetry.take())

    def merged(self) -> Snapshot:
        """The metrics of all processes, this one's as of now."""
        return merge([self._telemetry.take(), *self._others()])

    def collect(self) -> bytes:
        """The metrics of all processes, this one's as of now, in the Prometheus text format."""
        return self._render(self._telemetry.take())

    async def scrape(self) -> bytes:
        """As `collect`, with files and text made off the event loop."""
        own = self._telemetry.take()
        return await asyncio.get_running_loop().run_in_executor(None, self._render, own)

    async def run(self, *, interval: float = 1.0) -> None:
        """Post every *interval* seconds until cancelled, and then once more."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await loop.run_in_executor(None, self._post_or_log, self._telemetry.take())
                await asyncio.sleep(interval)
        finally:
            self._post_or_log(self._telemetry.take())

    def _post_or_log(self, own: Snapshot) -> None:
        try:
            self._post(own)
        except OSError as error:
            _log.warning("metrics not posted to %s: %s", self._path, error)

    def _post(self, own: Snapshot) -> None:
        data = encode(own)
        with self._lock:
            if own.written < self._posted:
                return
            draft = self._path.with_suffix(f".{own.pid}.draft")
            draft.write_bytes(data)
            draft.replace(self._path)
            self._posted = own.written

    def _render(self, own: Snapshot) -> bytes:
        self._post_or_log(own)
        return render(merge([own, *self._others()]))

    def _others(self) -> list[Snapshot]:
        now = self._clock()
        others = []
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            snapshot = None if path == self._path else self._read(path)
            if snapshot is None:
                continue
            fresh = 0 <= now - snapshot.written <= STALE_SECONDS and self._alive(snapshot.pid)
            others.append(snapshot if fresh else without_gauges(snapshot))
        return others

    @staticmethod
    def _read(path: Path) -> Snapshot | None:
        try:
            return decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("metrics in %s left out: %s", path, error)
            return None
