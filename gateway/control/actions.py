# SPDX-License-Identifier: Apache-2.0
"""Actions: the part of the admin API that changes something, one handler for each path.

A body must say that it is JSON: a page in an operator's browser cannot send that to another origin
without being allowed to, and nobody is.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from aiohttp import web

from gateway.control.answers import as_json, refusal
from gateway.control.publisher import OperationFailed
from gateway.wire.generation import Setting

if TYPE_CHECKING:
    from gateway.control.operations import Operations

PATHS: Final = {
    "/v1/config/reload": "POST: put the configuration file into effect",
    "/v1/backends/{endpoint}": 'POST {"drained": true | false, "weight": number | null}',
    "/v1/cache/purge": 'POST {"model": name, "tenant": name} or {"all": true}',
    "/v1/models/{model}/restart": "POST: replace the workers of a model one by one",
}

MOST_WEIGHT: Final = 1e6

T = TypeVar("T")


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body without a choice."""


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an endpoint is to be; what is left out stays as it is.

    *weight* null gives it back to the configuration. *force*: drain even the last one.
    """

    drained: bool | msgspec.UnsetType = msgspec.UNSET
    weight: float | msgspec.UnsetType | None = msgspec.UNSET
    force: bool = False


class Purged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be purged of the cache: of a model, of a tenant, of both, or all of it."""

    model: str | None = None
    tenant: str | None = None
    all: bool = False


class Actions:
    """The handlers over *operations*."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def add_to(self, app: web.Application) -> None:
        """Give *app* the routes."""
        app.router.add_post("/v1/config/reload", self.reload)
        app.router.add_post("/v1/backends/{endpoint}", self.endpoint)
        app.router.add_post("/v1/cache/purge", self.purge)
        app.router.add_post("/v1/models/{model}/restart", self.restart)

    async def reload(self, request: web.Request) -> web.Response:
        """Put the file into effect."""
        await body_of(request, Nothing)
        try:
            outcome = await self._operations.reload()
        except OperationFailed as error:
            return failed(error, "the configuration is not reloaded, and nothing has changed")
        return as_json(msgspec.to_builtins(outcome))

    async def endpoint(self, request: web.Request) -> web.Response:
        """Drain, undrain or weigh one endpoint."""
        name = request.match_info["endpoint"]
        wish = await body_of(request, Wish)
        operations = self._operations
        models = operations.models_of(name)
        if not models:
            there = ", ".join(
                endpoint for model in operations.config.models
                for endpoint in operations.endpoints(model)
            )  # fmt: skip
            raise refusal(HTTPStatus.NOT_FOUND, f"no endpoint '{name}'; there are: {there}")
        if isinstance(wish.weight, float) and not 0 < wish.weight <= MOST_WEIGHT:
            raise refusal(
                HTTPStatus.BAD_REQUEST,
                f"weight {wish.weight:g}: expected more than 0 and at most {MOST_WEIGHT:g}; "
                "to send it nothing, drain it",
            )
        if wish.drained is True and not wish.force:
            for model in models:
                self._refuse_last(model, name)
        try:
            setting = await operations.set_endpoint(name, partial(_changed, wish))
        except OperationFailed as error:
            return failed(error, "nothing has changed")
        return as_json(
            {
                "endpoint": name,
                "models": models,
                "drained": setting.drained,
                "weight": setting.weight,
                "generation": operations.generation.number,
            }
        )

    async def purge(self, request: web.Request) -> web.Response:
        """Let nothing that is cached now be given again."""
        what = await body_of(request, Purged)
        operations = self._operations
        if bool(what.model or what.tenant) == what.all:
            raise refusal(
                HTTPStatus.BAD_REQUEST,
                'say what to purge: {"model": name}, {"tenant": name}, both of these, or '
                '{"all": true} alone',
            )
        if what.model is not None and what.model not in operations.config.models:
            there = ", ".join(operations.config.models)
            raise refusal(HTTPStatus.NOT_FOUND, f"no model '{what.model}'; there are: {there}")
        try:
            await operations.purge(what.model, what.tenant)
        except OperationFailed as error:
            return failed(error, "it is not certain that nothing is found any more")
        named = (("model", what.model), ("tenant", what.tenant))
        parts = [f"{kind} {name}" for kind, name in named if name]
        return as_json({"purged": ", ".join(parts) or "all"})

    async def restart(self, request: web.Request) -> web.Response:
        """Replace the workers of a model one by one."""
        model = request.match_info["model"]
        await body_of(request, Nothing)
        operations = self._operations
        if model not in operations.config.models:
            there = ", ".join(operations.config.models)
            raise refusal(HTTPStatus.NOT_FOUND, f"no model '{model}'; there are: {there}")
        if not operations.generation.of(model):
            raise refusal(
                HTTPStatus.BAD_REQUEST,
                f"model '{model}' has no worker that is started here; restart those elsewhere",
            )
        try:
            replaced = await operations.restart(model)
        except OperationFailed as error:
            return failed(error, "the restart has ended early")
        return as_json(
            {
                "model": model,
                "replaced": [{"from": old, "to": new} for old, new in replaced],
                "generation": operations.generation.number,
            }
        )

    def _refuse_last(self, model: str, name: str) -> None:
        operations = self._operations
        others = [
            each
            for each in operations.endpoints(model)
            if each != name and not operations.generation.setting(each).drained
        ]
        if not others:
            raise refusal(
                HTTPStatus.CONFLICT,
                f"'{name}' is the last endpoint of model '{model}' that is not drained: its "
                "requests would wait until their deadline; force it if that is what you want",
            )


def _changed(wish: Wish, setting: Setting) -> Setting:
    drained = setting.drained if wish.drained is msgspec.UNSET else wish.drained
    weight = setting.weight if wish.weight is msgspec.UNSET else wish.weight
    return msgspec.structs.replace(setting, drained=drained, weight=weight)


async def body_of(request: web.Request, kind: type[T]) -> T:
    """The body of *request* as a *kind*; raises what `refusal` gives for anything else."""
    if request.content_type != "application/json":
        raise refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"{request.path} takes JSON; send it with Content-Type: application/json",
        )
    data = await request.read()
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise refusal(HTTPStatus.BAD_REQUEST, f"the body is not what is taken: {error}") from None


def failed(error: OperationFailed, what: str) -> web.Response:
    """The answer to what could not be done: *what* that means, and the faults."""
    status = HTTPStatus.BAD_REQUEST if error.invalid else HTTPStatus.CONFLICT
    return as_json({"error": what, "faults": error.faults}, status=status)
