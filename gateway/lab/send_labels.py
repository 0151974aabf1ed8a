# SPDX-License-Identifier: Apache-2.0
"""Send labels: a file of them to a running gateway, in batches, with what became of each.

What was sent already is a duplicate to the gateway, so that a file can be sent again from its
beginning whenever it is not certain that all of it arrived.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlsplit

import msgspec

from gateway.lab import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from gateway.lab.label_files import Item

_UNAVAILABLE: Final = 503
# A gateway whose ledger is locked, or whose control process is being started anew, is back soon:
# it is waited for this long, in seconds, a little longer each time.
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_MOST_REASONS: Final = 20


class Sender:
    """A connection to the gateway at *url* that labels of *model* go over.

    *headers* go with each request. *timeout* in seconds bounds each. *pause* waits.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise LabError(f"{url}: expected http://HOST:PORT")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout)
        query = f"?model={quote(model, safe='')}" if model else ""
        self._target = f"{parts.path.rstrip('/')}/v1/labels{query}"
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._url = url
        self._pause = pause

    def __repr__(self) -> str:
        return f"<Sender {self._url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def send(self, items: list[Item]) -> list[dict[str, Any]]:
        """What became of each of *items*; raises LabError where that cannot be known."""
        # What is no number becomes null, which is refused for the one item alone.
        body = msgspec.json.encode(items)
        said = ""
        for pause in (*_PAUSES, None):
            try:
                self._connection.request("POST", self._target, body, self._headers)
                response = self._connection.getresponse()
                status, text = response.status, response.read()
                answer = json.loads(text)
            except (OSError, HTTPException) as error:
                # It may have gone away between two requests.
                self._connection.close()
                said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            except ValueError:
                raise LabError(f"{self._url} is no gateway: its answer is no JSON") from None
            else:
                if "results" in answer:
                    found: list[dict[str, Any]] = answer["results"]
                    return found
                said = str(answer.get("error", status))
                if status != _UNAVAILABLE:
                    raise LabError(f"{self._url}: {said}")
            if pause is not None:
                self._pause(pause)
        raise LabError(f"{self._url}: {said}; send the file again, what arrived counts once")


class Tally:
    """What became of the labels that were sent, and why some were not taken."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Tally {dict(self.counts)}>"

    def add(self, results: Iterable[Mapping[str, Any]]) -> None:
        """Count *results*."""
        for each in results:
            result = str(each["result"])
            self.counts[result] += 1
            if result in {"rejected", "expired"}:
                reason = str(each.get("reason", ""))
                if reason in self.reasons or len(self.reasons) < _MOST_REASONS:
                    self.reasons[reason] += 1
                    self.first.setdefault(reason, f"{each['id']} row {each['row']}")

    def lines(self) -> Iterator[str]:
        """The counts, and each reason with the first label that it was said of."""
        order = ("joined", "buffered", "duplicate", "conflict", "expired", "rejected")
        yield ", ".join(f"{self.counts[each]} {each}" for each in order if self.counts[each])
        for reason, count in self.reasons.most_common():
            yield f"  {count} times, first {self.first[reason]}: {reason}"


@contextmanager
def progress(size: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if a person sees it; gives what is told the bytes that are done."""
    from rich.console import Console  # noqa: PLC0415 - a command's `--help` stays quick
    from rich.progress import Progress  # noqa: PLC0415 - as above

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("labels", total=size)
        yield lambda done: bar.update(task, completed=done)
