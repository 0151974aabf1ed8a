# SPDX-License-Identifier: Apache-2.0
"""Keys: an id as a number to look it up by, and what time a UUIDv7 says.

The key of a UUIDv7 begins with its millisecond, so that those that come in together are written
and found together; that of any other id is a hash. Two ids may have one key: the id itself decides.

Hashes go all over an index, and one that is larger than what is held of it in memory costs a page
for each. So in the index they begin with the number of a bucket of some hundred thousand rows,
which is filled before the next is begun; to look one up, all buckets are asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np

if TYPE_CHECKING:
    from gateway.wire.samples import Column

_UUID: Final = 36
_DASHES: Final = (8, 13, 18, 23)
_DIGITS: Final = tuple(place for place in range(_UUID) if place not in _DASHES)
# The bits of a key that follow the millisecond, of which 42 last until 2109.
_REST: Final = 20
# Tells hashes from UUIDs.
_HASHED: Final = 1 << 62
# The bits of a hash in the index, below the number of its bucket; the bits of that; and those of a
# block's number within a bucket.
_HASH: Final = 40
_BUCKETS: Final = 22
_BUCKET: Final = 9
_VERSION_7: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)

_VALUES: Final = np.full(256, 255, np.uint8)
_VALUES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)


def uuids(ids: Sequence[str]) -> Column | None:
    """The 16 bytes of each of *ids*, [n, 16]; None unless all are UUIDs in lower case."""
    text = "".join(ids)
    count = len(ids)
    if len(text) != _UUID * count or not text.isascii() or any(len(each) != _UUID for each in ids):
        return None
    letters = np.frombuffer(text.encode(), np.uint8).reshape(count, _UUID)
    if not (letters[:, _DASHES] == ord("-")).all():
        return None
    digits = _VALUES[letters[:, _DIGITS]]
    if (digits == 255).any():
        return None
    return (digits[:, 0::2] << 4) | digits[:, 1::2]


class Ids(Sequence[str]):
    """UUIDs as the bytes *data* [n, 16], each written out when it is looked at."""

    __slots__ = ("data",)

    def __init__(self, data: Column) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<Ids {len(self.data)}>"

    def __len__(self) -> int:
        return len(self.data)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Ids: ...
    def __getitem__(self, place: int | slice) -> str | Ids:
        if isinstance(place, slice):
            return Ids(self.data[place])
        return _text(self.data[place].tobytes().hex(), 0)

    def __iter__(self) -> Iterator[str]:
        text = np.ascontiguousarray(self.data).tobytes().hex()
        return (_text(text, at) for at in range(0, len(text), 32))


def dense(ids: Sequence[str]) -> Sequence[str]:
    """*ids* in less room, where they are all UUIDs."""
    if isinstance(ids, Ids):
        return ids
    data = uuids(ids)
    return ids if data is None else Ids(data)


def keys_of(ids: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The key of each of *ids*, [n], none of them negative."""
    data = ids.data if isinstance(ids, Ids) else uuids(ids)
    if data is None or not len(data) or not ((data[:, 6] >> 4) == 7).all():
        return np.fromiter((key_of(each) for each in ids), np.int64, len(ids))
    wide = data.astype(np.int64)
    time = np.zeros(len(data), np.int64)
    for place in range(6):
        time = (time << 8) | wide[:, place]
    # The counter and the first random bits.
    rest = (wide[:, 6] & 15) << 16 | wide[:, 7] << 8 | (wide[:, 8] & 63) << 2 | wide[:, 9] >> 6
    keys: np.ndarray[Any, np.dtype[np.int64]] = (time & (1 << 42) - 1) << _REST | rest
    # A UUIDv7 of another variant has the same key as any id: what `key_of` says.
    for other in np.flatnonzero((data[:, 8] >> 6) != 2).tolist():
        keys[other] = key_of(ids[other])
    return keys


@lru_cache(maxsize=1 << 14)
def key_of(id_: str) -> int:
    """The key of one id."""
    if _VERSION_7.fullmatch(id_):
        number = int(id_.replace("-", ""), 16)
        rest = (number >> 64 & 0xFFF) << 8 | number >> 54 & 0xFF
        return (number >> 80 & (1 << 42) - 1) << _REST | rest
    digest = blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") & (_HASHED - 1) | _HASHED


def place_of(key: int, block: int) -> int:
    """Under which number the index has *key* as one that is in *block*."""
    if key < _HASHED:
        return key
    bucket = block >> _BUCKET & (1 << _BUCKETS) - 1
    return _HASHED | bucket << _HASH | key & (1 << _HASH) - 1


def places_of(key: int, first: int, last: int) -> list[int]:
    """All numbers under which the index may have *key*, with blocks *first* to *last*."""
    if key < _HASHED:
        return [key]
    # The first block of each bucket stands for all of them.
    return [
        place_of(key, bucket << _BUCKET)
        for bucket in range(first >> _BUCKET, (last >> _BUCKET) + 1)
    ]


def time_of(id_: str) -> float | None:
    """When the UUIDv7 *id_* was made, in seconds since the epoch; None for any other id."""
    if not _VERSION_7.fullmatch(id_):
        return None
    return int(id_[:8] + id_[9:13], 16) / 1000


def _text(digits: str, at: int) -> str:
    return (
        f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-{digits[at + 12 : at + 16]}-"
        f"{digits[at + 16 : at + 20]}-{digits[at + 20 : at + 32]}"
    )
