# SPDX-License-Identifier: Apache-2.0
"""InferRequest and InferResponse: what every stage takes and gives.

They are made for every request, so they are msgspec structs: made in C, in a sixth of the time, and
never looked at by the cycle collector, as nothing in them can lead back to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.wire.tensor import Tensor

NEVER: Final = float("inf")
Finish: TypeAlias = "Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]"


class RequestedOutput:
    """An output that the client asked for by name.

    *classification*: return the highest N classes as text; 0 returns the tensor.
    *binary*: in the answer as bytes, as JSON, or (None) as the request says for all.
    """

    __slots__ = ("binary", "classification", "name")

    def __init__(self, name: str, *, classification: int = 0, binary: bool | None = None) -> None:
        self.name = name
        self.classification = classification
        self.binary = binary

    def __repr__(self) -> str:
        return f"<RequestedOutput {self.name} classification={self.classification}>"


class Trace(msgspec.Struct, eq=False, gc=False):
    """What the stages note about one request on its way; times are seconds.

    *cache* is the text of ``Cache-Status`` behind the cache's name, "" without a cache; *age* is
    that of a cached answer, None for one that was made now. *kept* is set by a shared store that
    had the answer: for how long it is fresh still, and what the model took for it. *far* is the
    trace of the merged request that this one was part of: all members share it, as copying it to
    each would cost more. *affinity* is what the request is to be placed by, where the model's
    policy goes by a key. *probe*: the request is a quality probe of the control process, not a
    client's, and stays out of what is said of clients' requests. *stand_in* is the model that has
    answered in the place of the one that was asked, "" where it has answered itself.
    """

    queue: float = 0.0
    preprocess: float = 0.0
    lookup: float = 0.0
    upstream: float = 0.0
    infer: float = 0.0
    cache: str = ""
    age: float | None = None
    kept: tuple[float, float] | None = None
    endpoint: str = ""
    digest: str = ""
    attempts: int = 0
    batch_rows: int = 0
    far: Trace | None = None
    affinity: bytes = b""
    probe: bool = False
    stand_in: str = ""
    postprocess: float = 0.0

    def take_over(self, other: Trace) -> None:
        """What *other* learned of an answer: the trace of another attempt, or of the batch."""
        self.queue += other.queue
        self.preprocess += other.preprocess
        self.upstream = other.upstream
        self.infer = other.infer
        self.endpoint = other.endpoint
        self.digest = other.digest or self.digest
        self.batch_rows = other.batch_rows

    def gather(self) -> Trace:
        """This trace with what *far* has learned; whoever is in a hurry looks at both instead."""
        far = self.far
        if far is not None:
            self.far = None
            self.attempts += far.attempts
            self.take_over(far)
        return self


class CacheRules:
    """The ``Cache-Control`` directives of a request that the cache obeys; ages are seconds."""

    __slots__ = ("max_age", "max_stale", "min_fresh", "no_cache", "no_store", "only_if_cached")

    def __init__(
        self,
        *,
        no_cache: bool = False,
        no_store: bool = False,
        only_if_cached: bool = False,
        max_age: float | None = None,
        min_fresh: float = 0.0,
        max_stale: float = 0.0,
    ) -> None:
        self.no_cache = no_cache
        self.no_store = no_store
        self.only_if_cached = only_if_cached
        self.max_age = max_age
        self.min_fresh = min_fresh
        self.max_stale = max_stale

    def accepts(self, age: float, left: float) -> bool:
        """Whether an answer of this *age* will do, that is fresh for *left* seconds more."""
        young = self.max_age is None or age <= self.max_age
        return young and left >= self.min_fresh - self.max_stale


NO_RULES: Final = CacheRules()


class InferRequest(msgspec.Struct, eq=False, gc=False):
    """One inference: *inputs* for a model, whatever protocol they came by.

    *outputs* is empty where all are wanted. *form* is the codec's own note on how the answer is to
    be spelled, and means nothing to anyone else. *parameters* are those that reach the model or
    change its answer, never the transport's own. *deadline* is an instant of `time.perf_counter`.
    *key* is the cache's digest of the question once it is known, or that of each row, joined.
    *members* is the number of
    clients' requests that a batch merged into this one; *attempts* counts how often it has been
    sent, *avoid* names the endpoints that failed it,
    *kills* counts those that died while they had it. *tenant* is whoever asks,
    where that is known. *inference_id* is the id of `gateway.exchange.Exchange`, *slice* the place
    of its values of the model's slices, where the model is sampled; *labels* are what is true of
    each row, where the caller says so. *finish*, where it is set, makes the model's
    inputs of *inputs*, rows apart, and is left to whoever merges, as it costs the same for many
    rows as for one. *inputs*, *outputs* and *parameters* are never changed in place.
    """

    model: str
    inputs: tuple[Tensor, ...]
    id: str = ""
    outputs: tuple[RequestedOutput, ...] = ()
    parameters: dict[str, Any] | None = None
    deadline: float = NEVER
    priority: int = 0
    trace: Trace = msgspec.field(default_factory=Trace)
    rules: CacheRules = NO_RULES
    key: bytes | None = None
    form: str = ""
    attempts: int = 0
    avoid: tuple[str, ...] = ()
    kills: int = 0
    members: int = 1
    tenant: str = ""
    finish: Finish | None = None
    inference_id: str = ""
    slice: int = 0
    labels: tuple[Any, ...] | None = None

    def __repr__(self) -> str:
        return f"<InferRequest {self.model} id={self.id!r} {list(self.inputs)}>"

    @property
    def rows(self) -> int:
        """The first dimension of the first input, 1 without one."""
        return self.inputs[0].rows if self.inputs else 1


class Rows:
    """The answer to a merged request, from which its one-row members are cut when asked for.

    *kept* is for codecs: what is cheaper to make for all rows at once, such as their text.
    *row_bytes* is the size of the largest output of one row.
    """

    __slots__ = ("kept", "outputs", "row_bytes")

    def __init__(self, outputs: tuple[Tensor, ...], row_bytes: int) -> None:
        self.outputs = outputs
        self.row_bytes = row_bytes
        self.kept: Any = None

    def __repr__(self) -> str:
        return f"<Rows {list(self.outputs)}>"

    def cut(self, row: int) -> tuple[Tensor, ...]:
        """The outputs of *row*, as slices."""
        return tuple([output.row(row) for output in self.outputs])


class InferResponse(msgspec.Struct, eq=False, gc=False):
    """The outputs of a model; *encoded* keeps bodies that a codec made of it, by codec and form.

    A response may answer many requests (cache, merged fills), so nothing in it names one. *rows*
    is set where it is row *row* of a batch: then *given* is None until somebody asks for outputs.
    """

    given: tuple[Tensor, ...] | None
    version: str = ""
    parameters: dict[str, Any] | None = None
    encoded: dict[Any, Any] | None = None
    rows: Rows | None = None
    row: int = 0

    def __repr__(self) -> str:
        return f"<InferResponse version={self.version!r} {list(self.outputs)}>"

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The model's outputs, in its order."""
        given = self.given
        if given is None:
            given = self.given = () if self.rows is None else self.rows.cut(self.row)
        return given

    @property
    def largest(self) -> int:
        """Bytes of the largest output; those of a row are in *rows*."""
        return max([len(output.data) for output in self.outputs], default=0)


class Service(Protocol):
    """The one shape of everything between codec and transport.

    A stage that has nothing to do on the way back is a plain function, which gives what the next
    one gave: a coroutine for each stage would cost more than what most of them do.
    """

    def __call__(self, request: InferRequest, /) -> Awaitable[InferResponse]:
        """What to await, once, for the answer to *request*.

        Calling and awaiting may both raise a GatewayError; what was called must be awaited.
        """
        ...
