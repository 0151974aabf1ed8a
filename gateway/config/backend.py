# SPDX-License-Identifier: Apache-2.0
"""The backends of a model: workers that Infergate starts, and workers and servers elsewhere."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.tls import TlsConfig
from gateway.units import Duration, ServerUrl, WorkerAddress, host_of
from gateway.upstream.options import RemoteConfig


class WorkerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Worker processes that Infergate starts itself, all with the same model."""

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description=(
                "A model directory (`PATH/VERSION/model.onnx`) or one `.onnx` file, relative to "
                "the directory in which the server is started."
            ),
        ),
    ]
    version: Annotated[
        int | None, Meta(ge=0, description="The version to serve; null: the newest, by number.")
    ] = None
    replicas: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description=(
                "Worker processes. Danger: each has the model in memory, and together with threads "
                "they should not outnumber the cores."
            ),
        ),
    ] = 1
    threads: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="Threads that compute one operator of an inference together.",
        ),
    ] = 1
    inter_threads: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="Threads that compute independent operators of one inference.",
        ),
    ] = 1
    instances: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description=(
                "Inferences that one worker runs at the same time, each with threads of its own."
            ),
        ),
    ] = 1
    optimization: Annotated[
        Literal["none", "basic", "extended", "all"],
        Meta(
            description=(
                "How far onnxruntime may rewrite the model. "
                "Danger: above basic, results may differ in their last bits."
            )
        ),
    ] = "all"
    providers: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Za-z]+ExecutionProvider$")], ...],
        Meta(
            min_length=1,
            description=(
                "Execution providers of onnxruntime, the preferred one first. "
                "Danger: one that the installed onnxruntime does not have ends the start."
            ),
        ),
    ] = ("CPUExecutionProvider",)
    arena: Annotated[
        bool,
        Meta(
            description=(
                "Whether onnxruntime keeps the memory of past inferences for the next ones. "
                "Danger: a worker's memory then stays at that of its largest batch."
            )
        ),
    ] = True
    spinning: Annotated[
        bool,
        Meta(
            description=(
                "Whether idle threads of onnxruntime wait busily. "
                "Danger: they take the cores from the gateway and from other workers."
            )
        ),
    ] = False
    busy_poll: Annotated[
        Duration,
        Meta(
            ge=0,
            le=0.01,
            description=(
                "As `server.busy_poll`, for the workers: how long each looks for more after a "
                "request. Danger: each then takes a core for that time."
            ),
        ),
    ] = 0.0
    warmup: Annotated[
        int,
        Meta(
            ge=0,
            le=10000,
            description=(
                "Inferences on made-up inputs before a worker is ready. "
                "Danger: with 0 the first requests are slow."
            ),
        ),
    ] = 3
    env: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str],
        Meta(description="Environment variables of the workers, beside those of the server."),
    ] = {}


class BackendConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One source of inferences: either `worker`, `address` or `url`."""

    worker: WorkerConfig | None = None
    address: Annotated[
        WorkerAddress | None,
        Meta(
            description=(
                "A worker that runs elsewhere (`infergate worker MODEL_DIR --listen …`): "
                "`unix:PATH` or `tcp:HOST:PORT`. Danger: the line is neither encrypted nor "
                "authenticated; keep it inside one trusted network."
            )
        ),
    ] = None
    url: Annotated[
        ServerUrl | None,
        Meta(
            description=(
                "Any server that speaks v2 over HTTP, `http://HOST:PORT` or `https://HOST:PORT`: "
                "Triton, KServe, MLServer, OpenVINO Model Server, another Infergate. "
                "Danger: http is neither encrypted nor authenticated."
            )
        ),
    ] = None
    remote: RemoteConfig = RemoteConfig()
    resolve: Annotated[
        Duration | None,
        Meta(
            ge=0.1,
            description=(
                "How often the name in address or url is resolved anew; every address that it has "
                "is an endpoint, which comes and goes with it. null: one endpoint, wherever the "
                "name leads when it connects. Danger: what answers in the name's place is sent the "
                "requests."
            ),
        ),
    ] = None
    weight: Annotated[
        float,
        Meta(
            gt=0,
            le=1e6,
            description="Share of the load that each worker of it gets, relative to the others.",
        ),
    ] = 1.0
    tier: Annotated[
        int,
        Meta(
            ge=0,
            le=15,
            description=(
                "0 is used first; a higher tier takes a growing part of the load as less than 72 % "
                "of the workers before it are available. Danger: what is full is waited for, only "
                "what fails is replaced."
            ),
        ),
    ] = 0
    max_concurrency: Annotated[
        Literal["auto", "adaptive"] | Annotated[int, Meta(ge=1, le=4096)],
        Meta(
            description=(
                "Batches that one worker of it is sent at the same time; auto: one more than it "
                "runs at the same time, so that it never waits for the line. A server at url that "
                "does not tell is taken for one that runs 4. adaptive: as many as do not make it "
                "slower, found out from its answers."
            )
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        given = [each is not None for each in (self.worker, self.address, self.url)]
        if sum(given) != 1:
            raise ValueError("expected either worker, address or url")
        if self.url is None and self.remote != RemoteConfig():
            raise ValueError("remote says how a url is asked; expected url beside it")
        if self.remote.tls != TlsConfig() and not (self.url or "").startswith("https:"):
            raise ValueError("remote.tls is for https; expected url to begin with https://")
        place = self.url or self.address or ""
        host = "" if not place or place.startswith("unix:") else host_of(place)[0]
        if (address := _literal(host)) is not None and address.is_link_local:
            # There clouds keep the keys of a machine, and no models.
            raise ValueError(f"{host} is a link-local address; expected one that can be routed")
        if self.resolve is not None and (not host or address is not None):
            raise ValueError("resolve is for a name in url or in address: tcp:NAME:PORT")

    def place(self, model: str) -> str:
        """The name of its endpoint for *model*, or what the names of its endpoints begin with.

        That of a server has the model in it, since one server may have several; "" for workers.
        """
        if self.url is None:
            # A name is shown: where it comes from a file it is no secret any more.
            return str(self.address or "")
        host, port = host_of(self.url)
        return f"{model}@[{host}]:{port}" if ":" in host else f"{model}@{host}:{port}"

    def has(self, model: str, endpoint: str) -> bool:
        """Whether *endpoint* is one of its endpoints for *model*, or may become one."""
        place = self.place(model)
        if self.resolve is not None:
            return endpoint.startswith(f"{place}#")
        return bool(place) and endpoint == place


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
