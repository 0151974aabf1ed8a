# SPDX-License-Identifier: Apache-2.0
"""Resources: all targets of the data port that are no inference, as plain functions.

Health is answered from memory, so that nothing that is slow can make a live server look dead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from gateway.edge import metadata
from gateway.edge.routes import model_name
from gateway.errors import (
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    NoReadyEndpoint,
    NotFound,
    Unsupported,
)
from gateway.exchange import JSON, Answer
from gateway.wire.oip_json import explain, json_dumps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.wire.model import ModelInfo
    from gateway.wire.tensor import Buffer

    Handler = Callable[[re.Match[bytes], Buffer], Awaitable[Answer]]

_METRICS: Final = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
_MODEL: Final = rb"/v2/models/([^/]+)(?:/versions/([0-9]{1,19}))?"
_V1_MODEL: Final = rb"/v1/models/([^/:]+)(?:/versions/([0-9]{1,19}))?"


class Served(Protocol):
    """A configured model, as far as clients may know it."""

    @property
    def info(self) -> ModelInfo | None:
        """What it takes and gives; None until a worker has said so."""
        ...

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        ...


class _IndexQuery(msgspec.Struct):
    ready: bool = False


class Resources:
    """Answers for *models* by name; *metrics* gives the text of ``/metrics``.

    *draining* says whether this process is about to end, and so no longer ready.
    """

    def __init__(
        self,
        models: Mapping[str, Served],
        *,
        metrics: Callable[[], Awaitable[bytes]],
        max_body: int,
        draining: Callable[[], bool],
    ) -> None:
        self._models = models
        self._metrics = metrics
        self._max_body = max_body
        self._draining = draining
        table: list[tuple[bytes, str, Handler]] = [
            (rb"/v2/health/live", "GET", self._live),
            (rb"/v2/health/ready", "GET", self._ready),
            # With a slash too: the protocol's OpenAPI file lists it so.
            (rb"/v2/?", "GET", self._server),
            (rb"/v2/models", "GET", self._list),
            (rb"/v2/repository/index", "POST", self._index),
            # A literal of the protocol, whatever models are called.
            (rb"(?!/v2/models/stats$)" + _MODEL, "GET", self._model),
            (_MODEL + rb"/ready", "GET", self._model_ready),
            (_MODEL + rb"/config", "GET", self._config),
            (rb"/v1/models", "GET", self._list),
            (_V1_MODEL, "GET", self._v1_status),
            (_V1_MODEL + rb"/metadata", "GET", self._v1_model),
            (rb"/metrics", "GET", self._scrape),
        ]
        self._table = [(re.compile(pattern), verb, handler) for pattern, verb, handler in table]

    def __repr__(self) -> str:
        return f"<Resources of {', '.join(self._models)}>"

    async def answer(self, method: str, path: bytes, body: Buffer = b"") -> Answer:
        """The answer to *method* on *path*, which has no query.

        Raises NotFound, MethodNotAllowed, ModelNotFound, NoReadyEndpoint, InvalidRequest and, for
        the parts of the protocols that are not offered, Unsupported.
        """
        for pattern, verb, handler in self._table:
            if (found := pattern.fullmatch(path)) is not None:
                if method != verb and not (method == "HEAD" and verb == "GET"):
                    allow = "GET, HEAD" if verb == "GET" else verb
                    raise MethodNotAllowed("Method Not Allowed", allow=allow)
                return await handler(found, body)
        for pattern, what in _NOT_OFFERED:
            if pattern.fullmatch(path):
                raise Unsupported(f"{what} not offered by this server")
        raise NotFound("Not Found")

    async def _live(self, _: re.Match[bytes], __: Buffer) -> Answer:
        return _json({"live": True})

    async def _ready(self, _: re.Match[bytes], __: Buffer) -> Answer:
        ready = not self._draining() and all(model.ready for model in self._models.values())
        return _json({"ready": ready}, 200 if ready else 503)

    async def _server(self, _: re.Match[bytes], __: Buffer) -> Answer:
        return _json(metadata.server())

    async def _list(self, _: re.Match[bytes], __: Buffer) -> Answer:
        return _json({"models": list(self._models)})

    async def _index(self, _: re.Match[bytes], body: Buffer) -> Answer:
        try:
            query = msgspec.json.decode(body, type=_IndexQuery) if body else _IndexQuery()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(explain(error, "", body)) from None
        return _json(
            [
                {
                    "name": name,
                    "version": model.info.version if model.info is not None else "",
                    "state": "READY" if model.ready else "UNAVAILABLE",
                    "reason": "" if model.ready else "no worker is ready",
                }
                for name, model in self._models.items()
                if model.ready or not query.ready
            ]
        )

    async def _model(self, found: re.Match[bytes], __: Buffer) -> Answer:
        name, info = self._known(found)
        return _json(metadata.v2_model(name, info))

    async def _config(self, found: re.Match[bytes], __: Buffer) -> Answer:
        name, info = self._known(found)
        return _json(metadata.v2_config(name, info, max_body=self._max_body))

    async def _model_ready(self, found: re.Match[bytes], __: Buffer) -> Answer:
        name, model = self._served(found)
        ready = model.ready
        return _json({"name": name, "ready": ready}, 200 if ready else 503)

    async def _v1_status(self, found: re.Match[bytes], __: Buffer) -> Answer:
        name, model = self._served(found)
        ready = model.ready
        return _json(metadata.v1_status(name, model.info, ready=ready), 200 if ready else 503)

    async def _v1_model(self, found: re.Match[bytes], __: Buffer) -> Answer:
        name, info = self._known(found)
        return _json(metadata.v1_model(name, info))

    async def _scrape(self, _: re.Match[bytes], __: Buffer) -> Answer:
        return Answer(200, await self._metrics(), [_METRICS])

    def _served(self, found: re.Match[bytes]) -> tuple[str, Served]:
        name = model_name(found[1])
        model = self._models.get(name) if name is not None else None
        if name is None or model is None:
            known = ", ".join(sorted(self._models))
            raise ModelNotFound(f"unknown model '{name or '?'}'; this server has: {known}")
        if found[2] and model.info is not None and found[2].decode() != model.info.version:
            raise ModelNotFound(
                f"model '{name}' has no version {found[2].decode()}; it has {model.info.version}"
            )
        return name, model

    def _known(self, found: re.Match[bytes]) -> tuple[str, ModelInfo]:
        name, model = self._served(found)
        if model.info is None:
            raise NoReadyEndpoint(f"model '{name}' is not loaded by any worker yet")
        return name, model.info


def _json(document: Any, status: int = 200) -> Answer:  # noqa: ANN401 - any JSON document
    return Answer(status, json_dumps(document), [JSON])


_NOT_OFFERED: Final = [
    (re.compile(pattern), what)
    for pattern, what in (
        (rb"/v2/models/stats|" + _MODEL + rb"/stats", "statistics are"),
        (rb"/v2/(?:models/[^/]+/)?trace/setting", "trace settings are"),
        (rb"/v2/logging", "log settings are"),
        (rb"/v2/(?:system|cuda)sharedmemory(?:/.*)?", "shared memory is"),
        (
            rb"/v2/repository/(?:[^/]+/)?(?:index|models/[^/]+/(?:load|unload))",
            "loading and unloading models, or naming a repository, is",
        ),
        (_MODEL + rb"/generate(?:_stream)?", "generation is"),
        (_V1_MODEL + rb":(?:classify|regress|explain)", "this method is"),
    )
]
