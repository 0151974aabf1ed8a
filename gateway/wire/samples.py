# SPDX-License-Identifier: Apache-2.0
"""Samples: predictions as columns, on their way from a gateway process to the ledger.

A gateway process notes what it has answered and hands it over a few times a second; nobody on the
request path waits for that. On the socket a message is msgpack behind four bytes of length.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec
import numpy as np

Role = Literal["live", "shadow", "candidate", "probe"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
Column: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# One part of 65,535 of a probability is finer than any figure that is shown.
FULL: Final = 65_535
# Bits of the column *flags*.
CACHED: Final = 1
# No class: the model's class is none of the configured ones.
NO_CLASS: Final = -1

LENGTH: Final = struct.Struct("<I")
# A few tenths of a second of the quickest model take some hundred kilobytes.
LONGEST: Final = 64 << 20


@dataclass(slots=True, eq=False, kw_only=True)
class Samples:
    """*n* predictions of one model file in one role; row j of each column is prediction j.

    *model* is the model under which they count, *name* the one that answered: another one where
    *role* is shadow or candidate. *digest* and *version* are those of the file that answered.

    *ids* and *rows* [n] uint32 are what labels join on: row i of a batch is (id, i). *times* [n]
    float64 are seconds since the epoch when the answer was there. *endpoint*, *tenant*, *slice* [n]
    uint16 are places in the lists *endpoints*, *tenants*, *slices*; a slice is a mapping of tag to
    value. *flags* [n] uint8 see above. *pi* [n] float32 is the probability with which the row was
    chosen to be here, so that it stands for 1 / pi rows. *question* [n] uint64 is a keyed digest of
    the row's question, 0 where nobody made one: equal questions are right or wrong together.

    *predicted* [n] is int32, a place among the configured classes or `NO_CLASS`; or float64, the
    value of a regression; or uint64, the set of labels as bits. *scores* [n, k] uint16 are
    probabilities in parts of `FULL`, of all classes in order, or of the classes at the places
    *columns* [n, k] uint16, the most probable first. None where the model gives none.

    *labels* are those that came with the requests, by row, None where none came; None for no labels
    at all. *live* and *live_digest* are set for shadows: what the live model predicted for the same
    rows, as *predicted*; *distance* [n] float32 is the largest difference of a probability.
    """

    model: str
    name: str
    digest: str
    version: str
    role: Role
    ids: list[str]
    rows: Column
    times: Column
    endpoints: list[str]
    endpoint: Column
    tenants: list[str]
    tenant: Column
    slices: list[dict[str, str]]
    slice: Column
    flags: Column
    pi: Column
    question: Column
    predicted: Column
    scores: Column | None = None
    columns: Column | None = None
    labels: list[Any] | None = None
    live: Column | None = None
    live_digest: str = ""
    distance: Column | None = None

    def __post_init__(self) -> None:
        count = len(self.ids)
        for name, value in self.all_columns():
            if len(value) != count:
                raise ValueError(f"samples: column {name} has {len(value)} rows, ids {count}")
        if self.labels is not None and len(self.labels) != count:
            raise ValueError(f"samples: {len(self.labels)} labels for {count} rows")

    def __len__(self) -> int:
        return len(self.ids)

    def all_columns(self) -> list[tuple[str, Column]]:
        """The columns that are there, by name."""
        found = ((each.name, getattr(self, each.name)) for each in fields(self))
        return [(name, value) for name, value in found if isinstance(value, np.ndarray)]

    @property
    def probabilities(self) -> Column | None:
        """*scores* as float64 from 0 to 1."""
        return None if self.scores is None else self.scores / FULL


@dataclass(slots=True, frozen=True)
class Lost:
    """Predictions that were not handed over, by *reason*, since the last such message."""

    model: str
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False, kw_only=True)
class Observed:
    """What *n* rows of *model* looked like, drawn evenly from *seen* rows that came up to *at*.

    *numbers* [n, columns] float32 has a column for each of *number_names*; *texts* a list of *n*
    for each of *text_names*. *confidence* [n] float32 is the probability of the class that was
    said, None where the model gives none. *at* is in seconds since the epoch.
    """

    model: str
    at: float
    seen: int
    number_names: list[str]
    numbers: Column
    text_names: list[str]
    texts: list[list[str]]
    confidence: Column | None = None

    def __post_init__(self) -> None:
        rows = len(self.numbers)
        if self.numbers.ndim != 2 or self.numbers.shape[1] != len(self.number_names):
            raise ValueError(f"observed: {list(self.numbers.shape)} of {len(self.number_names)}")
        counts = [len(column) for column in self.texts]
        counts += [] if self.confidence is None else [len(self.confidence)]
        if len(self.texts) != len(self.text_names) or any(count != rows for count in counts):
            raise ValueError(f"observed: columns of {counts} rows beside {rows}")

    def __len__(self) -> int:
        return len(self.numbers)


Message: TypeAlias = Samples | Lost | Observed
_KINDS: Final[dict[str, type[Message]]] = {"samples": Samples, "lost": Lost, "observed": Observed}


def encode(message: Message) -> bytes:
    """*message* as it goes over the socket, its length in front."""
    kind = next(name for name, each in _KINDS.items() if isinstance(message, each))
    plain = {}
    for each in fields(message):
        value = getattr(message, each.name)
        plain[each.name] = _packed(value) if isinstance(value, np.ndarray) else value
    body = msgspec.msgpack.encode((kind, plain))
    return LENGTH.pack(len(body)) + body


def decode(body: bytes | bytearray | memoryview) -> Message:
    """The message in *body*, without its length; raises ValueError for anything else."""
    try:
        kind, plain = msgspec.msgpack.decode(body)
        values = {name: _unpacked(value) for name, value in plain.items()}
        return _KINDS[kind](**values)
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a message of samples: {error}") from None


_ARRAY: Final = 1


def _packed(array: Column) -> msgspec.msgpack.Ext:
    plain = np.ascontiguousarray(array)
    told = msgspec.msgpack.encode((plain.dtype.str, plain.shape, plain.tobytes()))
    return msgspec.msgpack.Ext(_ARRAY, told)


def _unpacked(value: Any) -> Any:  # noqa: ANN401 - any field
    if not isinstance(value, msgspec.msgpack.Ext):
        return value
    kind, shape, data = msgspec.msgpack.decode(value.data)
    dtype = np.dtype(kind)
    if dtype.hasobject:
        raise ValueError("a column of objects")
    return np.frombuffer(data, dtype=dtype).reshape(shape)
