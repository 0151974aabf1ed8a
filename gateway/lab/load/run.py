# SPDX-License-Identifier: Apache-2.0
"""Plan and Run: what a load test does, and what it measured, as JSON that can be kept.

Times are seconds, rates are requests a second, shares are numbers from 0 to 1.
"""

from __future__ import annotations

from math import nan
from typing import Any, Final, Literal, Self, get_args

import msgspec

from gateway.lab import LabError
from gateway.lab.load.histogram import Histogram

Protocol = Literal["v2-json", "v2-binary", "v1", "grpc"]
Schedule = Literal["closed", "poisson", "constant", "trace", "ramp", "burst"]
PROTOCOLS: Final[tuple[Protocol, ...]] = get_args(Protocol)
SCHEDULES: Final[tuple[Schedule, ...]] = get_args(Schedule)
# Of the JSON; it grows when a reader of the old one would misread the new one.
SCHEMA: Final = 1
# Kinds of errors: a server that sheds (429, 503) answers, but does not do the work.
ErrorKind = Literal[
    "connect", "reset", "timeout", "shed", "client_error", "server_error", "malformed", "cut"
]
ERRORS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)
# Above this an open loop would need more time to check itself than to send.
_HIGHEST_RATE: Final = 10_000_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, how, and for how long.

    *schedule* says when: "closed" keeps *concurrency* requests in flight and sends the next one
    when one is answered; the others are open and send at instants that the answers do not
    influence, *rate* a second on average. "ramp" grows from *ramp_from* to *rate*; "burst" has
    *burst_factor* times the rate for *burst_seconds* in the middle; "trace" replays the instants
    in the file *trace*, stretched to *rate* where that is not 0.
    """

    url: str
    model: str
    version: str = ""
    protocol: Protocol = "v2-json"
    schedule: Schedule = "poisson"
    rate: float = 0.0
    concurrency: int = 1
    # How long is measured, after *warmup*; a warm-up of None lasts until answers are steady.
    duration: float = 30.0
    warmup: float | None = 2.0
    # The most connections at a time; 0: *concurrency* in a closed loop, otherwise 256.
    connections: int = 0
    # Each request opens a connection of its own, whose time counts.
    new_connections: bool = False
    # The share of requests whose input was sent before, the others are all different; None: inputs
    # as they are in the data, over and over.
    repeat: float | None = None
    # How many different inputs are repeated.
    repeated_inputs: int = 64
    # Rows in one request.
    batch: int = 1
    # From the intended send; what takes longer counts as so long, and as an error.
    timeout: float = 10.0
    seed: int = 1
    # Generating processes; 0: as many as keep the schedule.
    processes: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    ramp_from: float = 0.0
    burst_factor: float = 3.0
    burst_seconds: float = 10.0
    trace: str = ""
    # Of made-up inputs without their first dimension, by name.
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    # Whether the certificate of an https server is checked.
    verify: bool = True
    # Where the numbering of different inputs begins, so that two runs share none; 0: anywhere.
    salt: int = 0

    @property
    def is_open(self) -> bool:
        """Whether requests are sent by schedule, so that percentiles may be held to an SLO."""
        return self.schedule != "closed"

    @property
    def connection_limit(self) -> int:
        """The most connections of all processes together."""
        return self.connections or (256 if self.is_open else self.concurrency)

    def check(self) -> None:
        """Raise LabError for what cannot be."""
        if self.protocol not in PROTOCOLS:
            raise LabError(f"protocol '{self.protocol}': expected one of {', '.join(PROTOCOLS)}")
        if self.schedule not in SCHEDULES:
            raise LabError(f"schedule '{self.schedule}': expected one of {', '.join(SCHEDULES)}")
        if self.is_open and self.schedule != "trace" and not 0 < self.rate <= _HIGHEST_RATE:
            raise LabError(
                f"rate {self.rate:g}: schedule '{self.schedule}' needs a rate above 0, in requests "
                "a second"
            )
        for name, least in (
            ("concurrency", 1), ("connections", 0), ("processes", 0), ("batch", 1),
            ("repeated_inputs", 1),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise LabError(f"{name} {getattr(self, name)}: expected {least} or more")
        if self.duration <= 0 or self.timeout <= 0 or (self.warmup or 0) < 0:
            raise LabError(
                f"duration {self.duration:g} s, timeout {self.timeout:g} s: expected more than 0; "
                "a warm-up of 0 or more"
            )
        if self.repeat is not None and not 0 <= self.repeat <= 1:
            raise LabError(f"repeat {self.repeat:g}: expected a share from 0 to 1")


class Second(msgspec.Struct, kw_only=True):
    """One second of a run, by intended send; *answered* alone by when the answer came."""

    second: int
    offered: int = 0
    answered: int = 0
    errors: int = 0
    p50: float = 0.0
    p99: float = 0.0
    # Response times of this second, as in the whole run.
    response: Histogram = msgspec.field(default_factory=Histogram)


class Timing(msgspec.Struct, kw_only=True):
    """One entry of the server's own ``Server-Timing``, over the answers that had it."""

    seconds: float = 0.0
    count: int = 0

    @property
    def mean(self) -> float:
        """Seconds an answer."""
        return self.seconds / self.count if self.count else nan


class Health(msgspec.Struct, kw_only=True):
    """How one generating process fared."""

    host: str = ""
    pid: int = 0
    # Of one core, while measuring.
    cpu: float = 0.0
    # The longest turn of its event loop.
    loop_lag: float = 0.0
    # Requests sent later than the schedule allows, of those sent.
    late: int = 0
    sent: int = 0
    lag_p99: float = 0.0


class Environment(msgspec.Struct, kw_only=True):
    """What was measured on, and what was measured."""

    machine: dict[str, str] = {}
    versions: dict[str, str] = {}
    # As the server says in GET /v2.
    server: str = ""
    server_version: str = ""
    # As answers say in Infergate-Model-Digest, or metadata.
    model_digest: str = ""
    # Endpoints that answered, by Infergate-Backend.
    backends: dict[str, int] = {}


class Run(msgspec.Struct, kw_only=True):
    """What one plan gave. Counts are of the measured window, by intended send.

    *response* is from the intended send, *service* from the actual one, *lag* is what the generator
    itself was late, *waited* how long requests stood in its queue for a free connection. All but
    *failed* hold successes, and timeouts at their timeout. *failed* has the other errors.
    """

    schema: int = SCHEMA
    plan: Plan
    # Unix time of the first measured second.
    started: float = 0.0
    seconds: float = 0.0
    # What was discarded before.
    warmup: float = 0.0
    # Meant to be sent; really sent; answered with anything; with success.
    offered: int = 0
    sent: int = 0
    answered: int = 0
    ok: int = 0
    errors: dict[ErrorKind, int] = {}
    # Of answers, by HTTP status or gRPC code.
    statuses: dict[str, int] = {}
    response: Histogram = msgspec.field(default_factory=Histogram)
    service: Histogram = msgspec.field(default_factory=Histogram)
    lag: Histogram = msgspec.field(default_factory=Histogram)
    waited: Histogram = msgspec.field(default_factory=Histogram)
    failed: Histogram = msgspec.field(default_factory=Histogram)
    timeline: list[Second] = []
    server_timing: dict[str, Timing] = {}
    # Answers by what Cache-Status said: "hit", "miss", "stale", ...; empty where it said nothing.
    cache: dict[str, int] = {}
    # The share of requests whose input had been sent before.
    duplicates: float = 0.0
    rows: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    connects: int = 0
    health: list[Health] = []
    valid: bool = True
    # Why it is not valid, in words.
    reasons: list[str] = []
    # What a reader should know besides.
    notes: list[str] = []
    # The growth of Triton-style statistics of the model over the run, where there are any.
    statistics: dict[str, Any] = {}
    environment: Environment = msgspec.field(default_factory=Environment)

    @property
    def throughput(self) -> float:
        """Successes a second."""
        return self.ok / self.seconds if self.seconds else 0.0

    @property
    def offered_rate(self) -> float:
        """Requests a second that were meant to be sent."""
        return self.offered / self.seconds if self.seconds else 0.0

    @property
    def error_share(self) -> float:
        """Errors of any kind, of all that was offered."""
        return sum(self.errors.values()) / self.offered if self.offered else 0.0

    def percentile(self, q: float) -> float:
        """The *q*-th percentile, 0 to 100, of the response time in seconds."""
        return self.response.percentile(q)

    def percentile_interval(self, q: float, level: float = 0.95) -> tuple[float, float]:
        """Where the true one lies at *level*; inf where so few requests prove no upper bound."""
        return self.response.interval(q, level)

    def goodput(self, slo: float) -> float:
        """Successes a second within *slo* seconds of their intended send."""
        if not self.seconds:
            return 0.0
        return (self.ok - min(self.over(slo), self.ok)) / self.seconds

    def over(self, slo: float) -> int:
        """Successes that took longer than *slo* seconds."""
        timeouts = self.errors.get("timeout", 0)
        return self.response.above(slo) - (timeouts if self.plan.timeout > slo else 0)

    def json(self) -> bytes:
        """The whole run, to be kept."""
        return msgspec.json.format(msgspec.json.encode(self, enc_hook=encode_histogram), indent=1)

    @classmethod
    def parse(cls, data: bytes, *, name: str = "run") -> Self:
        """What `json` gave; LabError, naming *name*, for anything else."""
        try:
            run = msgspec.json.decode(data, type=cls, dec_hook=decode_histogram)
        except msgspec.MsgspecError as error:
            raise LabError(f"{name}: not the result of a load test: {error}") from None
        if run.schema != SCHEMA:
            raise LabError(
                f"{name}: schema {run.schema} of a load test's result; this program reads {SCHEMA}"
            )
        return run


def encode_histogram(value: object) -> str:
    """Msgspec's hook for what it does not know."""
    if isinstance(value, Histogram):
        return value.encode()
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def decode_histogram(kind: type, value: object) -> Histogram:
    """Msgspec's hook for what it does not know."""
    if kind is Histogram and isinstance(value, str):
        return Histogram.decode(value)
    raise NotImplementedError(f"{kind.__name__} has no JSON form")
