# SPDX-License-Identifier: Apache-2.0
"""Early: the ids for whose predictions something is to be done as soon as they come."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gateway.quality.keys import key_of

# Labels of late are remembered for the predictions of shadows that come behind them.
_RECENT: Final = 100_000


class Early:
    """Keys of ids that labels wait for, at most *most* labels, and of ids labelled of late."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting = 0
        self._waiting: dict[int, int] = {}
        self._recent: OrderedDict[int, None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Early {self.waiting}/{self.most} recent={len(self._recent)}>"

    @property
    def full(self) -> bool:
        """Whether no more labels may wait."""
        return self.waiting >= self.most

    def __contains__(self, key: int) -> bool:
        return key in self._waiting or key in self._recent

    def __bool__(self) -> bool:
        return bool(self._waiting or self._recent)

    def clear(self) -> None:
        """Begin anew."""
        self.waiting = 0
        self._waiting.clear()
        self._recent.clear()

    def wait(self, id_: str) -> None:
        """A label waits for *id_*."""
        key = key_of(id_)
        self._waiting[key] = self._waiting.get(key, 0) + 1
        self.waiting += 1

    def waited(self, id_: str) -> None:
        """A label waits for *id_* no longer."""
        key = key_of(id_)
        count = self._waiting.pop(key, 0)
        if count:
            self.waiting -= 1
        if count > 1:
            self._waiting[key] = count - 1

    def labelled(self, id_: str) -> None:
        """A label holds for *id_* now."""
        key = key_of(id_)
        self._recent[key] = None
        self._recent.move_to_end(key)
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
