# SPDX-License-Identifier: Apache-2.0
"""The section ``server``: processes, ports, limits and logs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.stages.overload_options import OverloadConfig
from gateway.units import Address, Duration, Share, Size


class LimitsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one client can take of the server."""

    body: Annotated[
        Size,
        Meta(
            ge=1 << 10,
            le=2 << 30,
            description=(
                "The largest request body, decompressed where it was compressed; a larger one is "
                "refused with 413. Danger: a client can make the gateway hold this much for each "
                "of its connections."
            ),
        ),
    ] = 64 << 20
    connections: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1)],
        Meta(
            description=(
                "Client connections of one gateway process; one more is closed at once. auto: 0.4 "
                "of the file descriptors that a process may open (the hard limit of `ulimit -n`), "
                "at most 65,536. Danger: each needs a file descriptor."
            ),
        ),
    ] = "auto"
    header_timeout: Annotated[
        Duration, Meta(gt=0, description="How long a client may take to send a request's head.")
    ] = 10.0
    body_timeout: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long a client may take to send a request's body. "
                "Danger: body divided by this is the slowest line that can send the largest one."
            ),
        ),
    ] = 30.0
    answer_timeout: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long a client may take to read an answer, beyond what the kernel holds of it; "
                "then the connection is aborted. Danger: the largest answer divided by this is "
                "the slowest line that can read it."
            ),
        ),
    ] = 30.0
    idle_timeout: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long a connection may stand between requests. Danger: keep it above the one "
                "of clients and load balancers, or their requests meet closed connections."
            ),
        ),
    ] = 60.0


class AccessLogConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One JSON line for a request, on standard output."""

    sample: Annotated[
        Share,
        Meta(
            description=(
                "The share of answered requests that are logged, 0 for none. "
                "Danger: at 1 the log costs a few microseconds of every request."
            )
        ),
    ] = 0.0
    errors: Annotated[
        bool, Meta(description="Whether every refused or failed request is logged.")
    ] = True


class ReloadConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether changes are noticed without being told of by SIGHUP or ``infergate reload``."""

    watch: Annotated[
        bool,
        Meta(
            description=(
                "Whether this file and the model directories are looked at, and loaded when they "
                "have changed and then stood still for one interval. "
                "Danger: whatever is saved or copied there goes into service unasked."
            )
        ),
    ] = False
    interval: Annotated[Duration, Meta(ge=0.1, le=86400, description="Time between two looks.")] = (
        2.0
    )


class ServerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The processes and their ports."""

    http: Annotated[
        Address,
        Meta(
            description=(
                "Where inference requests come in; port 0 takes a free one. Danger: 0.0.0.0 is "
                "open to the whole network, and requests need no key."
            )
        ),
    ] = "127.0.0.1:8000"
    admin: Annotated[
        Address,
        Meta(
            description=(
                "Where operators look and change things. "
                "Danger: whoever reaches it sees the configuration and can drain every worker."
            )
        ),
    ] = "127.0.0.1:8002"
    processes: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description=(
                "Gateway processes that share the data port. Danger: each takes a core and has a "
                "cache of its own; one is enough until its core is busy."
            ),
        ),
    ] = 1
    timeout: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long a request may take in all, queue and retries included; a client can ask "
                "for less."
            ),
        ),
    ] = 30.0
    grace: Annotated[
        Duration,
        Meta(
            ge=0,
            description=(
                "How long requests may go on after SIGTERM. "
                "Danger: above the patience of whatever stops the server, they are killed."
            ),
        ),
    ] = 30.0
    tenant_header: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None,
        Meta(
            description=(
                "The request header that names the tenant, where a proxy in front sets it: tenants "
                "that wait get equal shares of a model's workers. null: all are one. Danger: "
                "without such a proxy a client can call itself anything."
            )
        ),
    ] = None
    busy_poll: Annotated[
        Duration,
        Meta(
            ge=0,
            le=0.01,
            description=(
                "How long a gateway process looks for more after a request or an answer, instead "
                "of sleeping; 0s: not at all. About 400us takes a good part off the latency of a "
                "lone client. Danger: a core is busy for that time even if nothing comes."
            ),
        ),
    ] = 0.0
    limits: LimitsConfig = LimitsConfig()
    overload: OverloadConfig = OverloadConfig()
    access_log: AccessLogConfig = AccessLogConfig()
    reload: ReloadConfig = ReloadConfig()
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least severe event that is logged, on standard error."),
    ] = "info"
