# SPDX-License-Identifier: Apache-2.0
"""Exchange and Answer: one question of a client and what it gets, before and after any codec.

The stages above `Infer` see exchanges, so that refusing one costs no decoding.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import msgspec

from gateway.wire.message import NEVER, NO_RULES, CacheRules, Trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from gateway.errors import GatewayError
    from gateway.wire.message import InferRequest, InferResponse
    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Buffer


class Exchange(msgspec.Struct, eq=False, gc=False):
    """An inference call as it came in: *body* undecoded, *headers* with lower-case names.

    *arrived* and *deadline* are instants of `time.perf_counter`. *target* is the path as sent.
    *request_id* is the caller's ``X-Request-Id`` or one of ours; *inference_id* is the id that
    labels join on, "" until the edge or the codec knows it. *client* is the address
    that the call came from, for the log. *repeatable*: its bytes may come again; then
    *repeat* is set by the stages where they may be answered without them.
    """

    codec: Codec
    model: str
    version: str
    target: str
    headers: Mapping[str, str]
    body: Buffer
    request_id: str
    arrived: float = msgspec.field(default_factory=perf_counter)
    client: str = ""
    inference_id: str = ""
    deadline: float = NEVER
    rules: CacheRules = NO_RULES
    repeatable: bool = False
    trace: Trace = msgspec.field(default_factory=Trace)
    repeat: Repeat | None = None

    def __repr__(self) -> str:
        return f"<Exchange {self.codec.protocol} {self.target} {len(self.body)} bytes>"


class Answer(msgspec.Struct, eq=False, gc=False):
    """What the client gets; *headers* are those of this answer alone, names in canonical case.

    *error* is the code of the GatewayError behind it, "" for a prediction.
    """

    status: int
    body: bytes
    headers: Sequence[tuple[str, str]]
    error: str = ""

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.error} {len(self.body)} bytes>"


class Counted(Protocol):
    """Where something is counted."""

    value: float


class Repeat(Protocol):
    """An answer that the very same bytes may be given again, past the stages.

    *body* is the answer's; *left* and *age*, seconds, are for how long it is good still and how old
    it is, as of the last `find`. `Observe` sets where requests of its kind are counted, and who
    takes the *seconds* of each.
    """

    body: bytes
    left: float
    age: float
    requests: Counted
    seconds: Callable[[float], None]

    def find(self, now: float) -> bool:
        """Whether it is still what the stages would give at the instant *now*."""
        ...

    def given(self, lookup: float) -> None:
        """It was given again; finding it, and all of the request, took *lookup* seconds."""
        ...


class Codec(Protocol):
    """One protocol's way between bytes and tensors.

    *spelling* is the protocol and whatever else decides how a body is decoded.
    """

    protocol: str
    spelling: str

    def decode(self, exchange: Exchange, model: ModelInfo) -> InferRequest:
        """The request in *exchange*, checked against *model*; raises ClientError."""
        ...

    def encode(
        self, exchange: Exchange, request: InferRequest, response: InferResponse, model: ModelInfo
    ) -> Answer:
        """The answer to *exchange*; its ``Content-Type`` is the first header."""
        ...

    def refuse(self, exchange: Exchange, error: GatewayError) -> Answer:
        """The protocol's own form of an error."""
        ...


@runtime_checkable
class NamingCodec(Codec, Protocol):
    """A codec of a protocol that names the model in the body instead of the target."""

    def named(self, exchange: Exchange) -> str:
        """The model that *exchange* asks for; raises ClientError."""
        ...


class ExchangeService(Protocol):
    """The one shape of everything between edge and codec; see `gateway.wire.message.Service`."""

    def __call__(self, exchange: Exchange, /) -> Awaitable[Answer]:
        """What to await for the answer; below Rescue this may raise a GatewayError."""
        ...


JSON: Final[tuple[str, str]] = ("Content-Type", "application/json")
# The headers of nearly every answer: one object, so that it is told from others at a glance.
JSON_ALONE: Final = (JSON,)
