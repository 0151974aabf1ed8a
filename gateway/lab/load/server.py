# SPDX-License-Identifier: Apache-2.0
"""Server: what the server under test says of itself, before and after a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import aiohttp
import msgspec

from gateway.lab import LabError
from gateway.lab.load.encode import split_head
from gateway.lab.load.target import target_of
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import ITEM_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.lab.load.run import Plan
    from gateway.lab.load.supply import Template

# What is not the load itself is waited for so long.
_PATIENCE: Final = 30.0


class _Described(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]


class _Metadata(msgspec.Struct):
    inputs: list[_Described]


class Server:
    """The server of *plan*; an ``async with`` owns its connections."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._target = target_of(plan)
        self._is_grpc = plan.protocol == "grpc"
        version = f"/versions/{quote(plan.version, safe='')}" if plan.version else ""
        self._model = f"/v2/models/{quote(plan.model, safe='')}{version}"
        self._session: aiohttp.ClientSession

    def __repr__(self) -> str:
        return f"<Server {self._target.address}>"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_PATIENCE), headers=dict(self._plan.headers)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def specs(self) -> list[TensorSpec]:
        """What the model takes; raises LabError."""
        if self._is_grpc:
            from gateway.lab.load import calls  # noqa: PLC0415 - an extra

            model, _ = await calls.described(self._target, self._plan)
            inputs: Sequence[Any] = model.inputs
        else:
            status, body = await self._get(self._model)
            if status != 200:
                hint = (
                    "; a server of v1 alone is sent whole bodies, --data FILE.ndjson"
                    if self._plan.protocol == "v1"
                    else ""
                )
                raise LabError(
                    f"{self._where(self._model)} answered {status}: {reason(body)}{hint}"
                )
            try:
                inputs = msgspec.json.decode(body, type=_Metadata).inputs
            except msgspec.MsgspecError as error:
                raise LabError(
                    f"{self._where(self._model)}: metadata that is not v2: {error}"
                ) from None
        for one in inputs:
            if one.datatype not in ITEM_SIZE:
                raise LabError(
                    f"model '{self._plan.model}': input '{one.name}' is {one.datatype}, which is "
                    "no datatype of v2"
                )
        if not inputs:
            raise LabError(f"model '{self._plan.model}' takes no input")
        return [TensorSpec(one.name, one.datatype, tuple(one.shape)) for one in inputs]

    async def name(self) -> tuple[str, str]:
        """Name and version of the server, empty where it does not say."""
        if self._is_grpc:
            from gateway.lab.load import calls  # noqa: PLC0415 - an extra

            try:
                _, server = await calls.described(self._target, self._plan)
            except LabError:
                return "", ""
            return server.name, server.version
        found = await self._page("/v2")
        return str(found.get("name", "")), str(found.get("version", ""))

    async def statistics(self) -> dict[str, Any]:
        """Triton-style statistics of the model; empty where it offers none."""
        return {} if self._is_grpc else await self._page(f"{self._model}/stats")

    async def try_once(self, template: Template) -> None:
        """Send one request as it will be sent; LabError with the server's words if it fails."""
        if self._is_grpc:
            from gateway.lab.load import calls  # noqa: PLC0415 - an extra

            await calls.ask_once(self._target, self._plan, template.body)
            return
        path, headers = split_head(template.head)
        status, body = await self._call("POST", path, template.body, headers)
        if not 200 <= status < 300:
            raise LabError(f"{self._where(path)} answered the first request {status}: "
                           f"{reason(body)}")  # fmt: skip

    async def _page(self, path: str) -> dict[str, Any]:
        try:
            status, body = await self._get(path)
            found = msgspec.json.decode(body) if status == 200 else {}
        except (LabError, msgspec.MsgspecError):
            return {}
        return found if isinstance(found, dict) else {}

    async def _get(self, path: str) -> tuple[int, bytes]:
        return await self._call("GET", self._prefix + path, None, None)

    @property
    def _prefix(self) -> str:
        _, _, rest = self._plan.url.partition("//")
        path = rest.partition("/")[2].rstrip("/")
        return f"/{path}" if path else ""

    def _where(self, path: str) -> str:
        return f"{self._scheme}://{self._target.address}{path}"

    @property
    def _scheme(self) -> str:
        return "https" if self._target.tls else "http"

    async def _call(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str] | None
    ) -> tuple[int, bytes]:
        try:
            async with self._session.request(
                method, self._where(path), data=data, headers=headers, ssl=self._plan.verify
            ) as answer:
                return answer.status, await answer.read()
        except TimeoutError:
            raise LabError(f"{self._where(path)}: no answer within {_PATIENCE:g} s") from None
        except aiohttp.ClientSSLError as error:
            # The errno of either kind, 1, would read as a missing permission.
            why = getattr(error, "certificate_error", None) or error.os_error
            raise LabError(
                f"{self._target.address}: no TLS with it: {why}; --insecure takes any certificate"
            ) from None
        except aiohttp.ClientConnectorError as error:
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else str(error.os_error)
            raise LabError(f"{self._target.address}: cannot be reached: {why}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise LabError(
                f"{self._where(path)}: no whole answer: {str(error) or type(error).__name__}"
            ) from None


def reason(body: bytes) -> str:
    """The words of an error, in one line."""
    try:
        said = msgspec.json.decode(body)["error"]
    except (msgspec.MsgspecError, KeyError, TypeError):
        said = body[:300].decode("utf-8", "replace")
    return " ".join(str(said).split())[:300]


def growth(before: Any, after: Any) -> Any:  # noqa: ANN401 - JSON
    """What counters of *after* have grown by since *before*; texts are as they are."""
    if isinstance(after, dict):
        old = before if isinstance(before, dict) else {}
        return {name: growth(old.get(name), value) for name, value in after.items()}
    if isinstance(after, list):
        old_list = before if isinstance(before, list) and len(before) == len(after) else []
        return [
            growth(old_list[place] if old_list else None, value)
            for place, value in enumerate(after)
        ]
    if isinstance(after, int | float) and not isinstance(after, bool):
        number = isinstance(before, int | float) and not isinstance(before, bool)
        return after - before if number else after
    return after
