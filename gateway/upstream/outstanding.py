# SPDX-License-Identifier: Apache-2.0
"""Outstanding: what each gateway process has pending at each endpoint, in memory they share.

A file of the runtime directory, mapped by every gateway process: a column for each endpoint, in it
a cell for each process. Only its own process writes to a cell, so nothing is ever locked or lost
on the way of a request. The file stands for one run of the supervisor, which makes it and which
empties the cells of a process that has died.

    head     magic, processes, columns: numbers of 8 bytes
    names    for each column a digest of its endpoint's name, 16 bytes; zeros where it is free
    cells    columns x processes x (held, requests, rows), numbers of 8 bytes
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Final

# More endpoints than one program will have; those beyond are counted by each process alone.
COLUMNS: Final = 4096
_MAGIC: Final = int.from_bytes(b"infg-out", "little")
_HEAD: Final = struct.Struct("=3q")
_CELL: Final = struct.Struct("=3q")
_NAME: Final = 16
_FREE: Final = bytes(_NAME)


def create(path: Path, processes: int, *, columns: int = COLUMNS) -> None:
    """Make the file at *path* for so many *processes*; raises OSError.

    It is sparse: what no endpoint has touched takes no room.
    """
    with path.open("xb") as file:
        file.write(_HEAD.pack(_MAGIC, processes, columns))
        file.truncate(_HEAD.size + columns * (_NAME + processes * _CELL.size))


def forget(path: Path, process: int) -> None:
    """*process* has nothing pending and no endpoint any more; for when it has died.

    Raises OSError, or ValueError where *path* does not hold outstanding counts.
    """
    with path.open("r+b") as file:
        processes, columns = _read_head(path, file.read(_HEAD.size))
        names = file.read(columns * _NAME)
        cells = _HEAD.size + columns * _NAME
        nothing = _CELL.pack(0, 0, 0)
        for column in range(columns):
            if names[column * _NAME : (column + 1) * _NAME] != _FREE:
                at = cells + (column * processes + process) * _CELL.size
                os.pwrite(file.fileno(), nothing, at)


class Outstanding:
    """The file at *path*, mapped; *process* is the index of the one that is to write in it.

    Raises OSError where it cannot be mapped, ValueError where it is no such file or has no place
    for *process*. Whatever an earlier life of *process* had pending is forgotten.
    """

    def __init__(self, path: Path, process: int) -> None:
        forget(path, process)
        self._path = path
        self._process = process
        self._memory = _map(path)
        self.processes, self._columns = _read_head(path, bytes(self._memory[: _HEAD.size]))
        self._cells = _HEAD.size + self._columns * _NAME
        if not 0 <= process < self.processes:
            raise ValueError(f"{path} has places for {self.processes} processes, not for {process}")
        self._numbers = self._memory[self._cells :].cast("q")
        # How many endpoints of this process have the column: in a reload two may for a while.
        self._users: Counter[int] = Counter()

    def __repr__(self) -> str:
        return f"<Outstanding {self._path} process {self._process} of {self.processes}>"

    def column(self, name: str) -> Column | None:
        """The counts of the endpoint *name*, the same in every process; None if none is free."""
        digest = blake2b(name.encode(), digest_size=_NAME).digest()
        # A descriptor of its own: the kernel lets go of the lock should this process die here.
        with self._path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            index = self._claim(digest)
            if index is None:
                return None
            self._users[index] += 1
            column = Column(self, self._numbers, index, self._process)
            column.hold()
            return column

    def released(self, index: int) -> bool:
        """An endpoint has gone; whether it was the last that had the column *index*."""
        self._users[index] -= 1
        return self._users[index] <= 0

    def _claim(self, digest: bytes) -> int | None:
        names = bytes(self._memory[_HEAD.size : self._cells])
        free: int | None = None
        for index in range(self._columns):
            name = names[index * _NAME : (index + 1) * _NAME]
            if name == digest:
                return index
            if name == _FREE:
                free = index
                break  # they are given out in order
        if free is None:
            abandoned = (index for index in range(self._columns) if not self._held(index))
            free = next(abandoned, None)
        if free is not None:
            start = _HEAD.size + free * _NAME
            self._memory[start : start + _NAME] = digest
        return free

    def _held(self, index: int) -> bool:
        """Whether any process has the endpoint of this column."""
        start = index * self.processes * 3
        return any(self._numbers[start + 3 * process] for process in range(self.processes))


class Column:
    """The counts of one endpoint, those of all processes, of which only the own can be set."""

    __slots__ = ("_at", "_index", "_numbers", "_offset", "_others", "_pair", "_table")

    def __init__(self, table: Outstanding, numbers: memoryview, index: int, process: int) -> None:
        processes = table.processes
        self._table = table
        self._index = index
        start = index * processes * 3
        self._numbers = numbers
        self._offset = start * numbers.itemsize
        self._at = start + process * 3
        # Reads requests and rows of every cell but our own, in one call: this is done for each
        # endpoint and batch.
        cell, own = "8xqq", "24x"
        form = "".join([own if each == process else cell for each in range(processes)])
        self._others = struct.Struct(f"={form}").unpack_from
        self._pair = processes == 2

    def __repr__(self) -> str:
        return f"<Column {self._at} elsewhere={self.elsewhere()}>"

    def hold(self) -> None:
        """This process has the endpoint."""
        self._numbers[self._at] = 1

    def release(self) -> None:
        """This process has the endpoint no more; once none has, the column may be another's."""
        if self._table.released(self._index):
            numbers, at = self._numbers, self._at
            numbers[at] = numbers[at + 1] = numbers[at + 2] = 0

    def set_requests(self, count: int) -> None:
        """This process has so many requests pending."""
        self._numbers[self._at + 1] = count

    def set_rows(self, count: int) -> None:
        """This process has so many rows pending."""
        self._numbers[self._at + 2] = count

    def elsewhere(self) -> tuple[int, int]:
        """The requests and rows that the other processes have pending."""
        found = self._others(self._numbers, self._offset)
        return found if self._pair else (sum(found[::2]), sum(found[1::2]))


def _read_head(path: Path, head: bytes) -> tuple[int, int]:
    if len(head) == _HEAD.size:
        magic, processes, columns = _HEAD.unpack(head)
        size = _HEAD.size + columns * (_NAME + processes * _CELL.size)
        if magic == _MAGIC and path.stat().st_size == size:
            return processes, columns
    raise ValueError(f"{path} does not hold outstanding counts")


def _map(path: Path) -> memoryview:
    """The bytes of the file at *path*, shared, for as long as this process lives.

    `mmap.mmap` would keep a descriptor open besides; the kernel needs none once it has mapped.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    )  # fmt: skip
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        address = libc.mmap(None, size, protection, mmap.MAP_SHARED, file.fileno(), 0)
    if address in {None, ctypes.c_void_p(-1).value}:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")
