# SPDX-License-Identifier: Apache-2.0
"""GatewayProcess: a whole gateway for one trial, ended with it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self

from gateway.lab import LabError
from gateway.lab.quantize.source import needed

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_READY: Final = re.compile(rb"infergate: ready on (http://\S+) ")
# As `python -m gateway`, and it ends with this process even where that is killed.
_SERVE: Final = (
    "import signal, sys; from gateway.wire.process import die_with_parent; "
    "die_with_parent(by=signal.SIGTERM); from gateway.cli import main; sys.exit(main())"
)
# A model of gigabytes takes a minute to load and warm up.
START_TIMEOUT: Final = 180.0
# It drains for its grace, 10 s by default, before it ends by itself.
STOP_TIMEOUT: Final = 20.0


class GatewayProcess:
    """``infergate serve`` of the configuration *text*; an ``async with`` owns it.

    Raises LabError with its own words where it does not become ready.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._directory: TemporaryDirectory[str] | None = None
        self._process: Process | None = None
        self._log = Path()
        self.url = ""

    def __repr__(self) -> str:
        return f"<GatewayProcess {self.url or 'not ready'}>"

    async def __aenter__(self) -> Self:
        self._directory = TemporaryDirectory(prefix="infergate-tune-")
        place = Path(self._directory.name)
        config, self._log = place / "trial.yaml", place / "log"
        config.write_text(self._text, encoding="utf-8")
        try:
            with self._log.open("wb") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", _SERVE, "serve", "-c", str(config),
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
                    env={**os.environ, "TMPDIR": str(place)},
                )  # fmt: skip
            self.url = await self._ready(self._process)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    @property
    def pid(self) -> int | None:
        """Of its supervisor, while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def memory(self) -> int:
        """Bytes that its processes hold: shared pages count once, in parts."""
        psutil = needed("psutil", purpose="tune")
        if self._process is None:
            return 0
        total = 0
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            for each in (root, *root.children(recursive=True)):
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    total += each.memory_full_info().pss
        return total

    async def _ready(self, process: Process) -> str:
        if process.stdout is None:
            raise LabError("a gateway without output")
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while line := await process.stdout.readline():
                    if found := _READY.match(line):
                        return found[1].decode()
        except TimeoutError:
            raise LabError(f"the gateway is not ready within {START_TIMEOUT:g} s") from None
        raise LabError(f"the gateway does not start: {self._words()}")

    def _words(self) -> str:
        """The last line that it wrote."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT):
                    await process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()  # its children die with it
                await process.wait()
        if self._directory is not None:
            self._directory.cleanup()
