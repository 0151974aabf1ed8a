# SPDX-License-Identifier: Apache-2.0
"""Served: what one v2 server has behind a model's name, and how an inference is asked of it.

It is what the server told when it was met. A server that tells something else later is met anew.
"""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import count
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gateway.errors import BadAnswer, ConnectionLost, DeadlineExceeded, UpstreamError
from gateway.upstream.caller import Stale
from gateway.upstream.refusals import NotReady, is_good, refusal
from gateway.wire.message import NEVER, InferRequest, InferResponse
from gateway.wire.oip_model import ServerInfo, describe_model, describe_server
from gateway.wire.oip_question import Question, encode_question
from gateway.wire.oip_reply import Reply, decode_reply, failure_text
from gateway.wire.rows import cut, join

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.upstream.caller import Answered, Caller
    from gateway.wire.oip_model import Described
    from gateway.wire.tensor import Buffer, Tensor

_BINARY: Final = "binary_tensor_data"
_CONFIGURATION: Final = "model_configuration"
_SCHEDULE: Final = "schedule_policy"
_LENGTH: Final = "Inference-Header-Content-Length"
_JSON: Final = {"Content-Type": "application/json"}
# Bytes of JSON that take about a millisecond: more of them are read and written off the loop.
_OFF_LOOP: Final = 256 << 10
# What another Infergate takes for a timeout.
_MOST_MS: Final = 86_400_000


class Served:
    """A model as *caller*'s server has it under *remote_name*; made by `meet`."""

    def __init__(
        self,
        caller: Caller,
        path: str,
        remote_name: str,
        *,
        server: ServerInfo,
        described: Described,
        config: Buffer | None,
    ) -> None:
        self.info = described.info
        self.server = server
        self.max_batch = described.max_batch
        # What an inference is asked with to see whether the server still computes.
        self.sample: tuple[Tensor, ...] | None = None
        # A version that it answered with and that its metadata does not show.
        self.odd_version = ""
        self.looked = False
        self._caller = caller
        self._path = path
        self._remote_name = remote_name
        self._config = config
        self._binary = _BINARY in server.extensions
        self._schedules = _SCHEDULE in server.extensions
        self._ids = count(1)
        # Whether it sends ids back; None until it has answered once.
        self._echoes: bool | None = None

    def __repr__(self) -> str:
        form = "binary" if self._binary else "JSON"
        return f"<Served {self.info.name} {self.info.version} by {self.server.name}, {form}>"

    @property
    def instance(self) -> str:
        """What changes when another server or another model stands behind the address."""
        return f"{self.server.name} {self.server.version} {self.info.version} {self.info.digest}"

    async def check(self) -> None:
        """Ask whether it is ready and still the same; raises NotReady where it is not."""
        await _ready(self._caller, self._path)
        server = await _server(self._caller)
        body = await _get(self._caller, self._path)
        described = describe_model(
            body,
            self._config,
            name=self.info.name,
            remote_name=self._remote_name,
            version=self.info.version if "/versions/" in self._path else "",
        )
        if server != self.server or described.info != self.info:
            raise NotReady(f"{self._caller.address} is another server or has another model now")

    async def ask(self, request: InferRequest) -> InferResponse:
        """Have *request* computed, in as many calls as the server's largest batch makes of it.

        Raises what the server says of the request, or the UpstreamError that describes its fault.
        """
        started = perf_counter()
        rows, most = request.rows, self.max_batch
        trace = request.trace
        trace.batch_rows = rows
        if not most or rows <= most:
            reply, told = await self._call(request, request.inputs)
            outputs = reply.outputs
        else:
            # One after the other: the endpoint has one slot for the request.
            told = None
            starts = range(0, rows, most)
            sizes = [min(most, rows - start) for start in starts]
            parts = []
            for start, size in zip(starts, sizes, strict=True):
                inputs = tuple(cut(tensor, start, start + size) for tensor in request.inputs)
                reply, told = await self._call(request, inputs)
                parts.append(reply.outputs)
            outputs = join(parts, sizes)
            trace.batch_rows = most
        # The server's own time where it tells, else all of it as it looks from here.
        whole = (perf_counter() - started) * trace.batch_rows / max(rows, 1)
        trace.infer = whole if told is None else told
        return InferResponse(outputs)

    async def _call(
        self, request: InferRequest, inputs: tuple[Tensor, ...]
    ) -> tuple[Reply, float | None]:
        headers: dict[str, str] = {}
        parameters: dict[str, Any] = {}
        if request.deadline != NEVER:
            left = request.deadline - perf_counter()
            if left <= 0:
                raise DeadlineExceeded(f"no time was left to ask {self._caller.address}")
            headers["X-Request-Timeout-Ms"] = str(min(ceil(left * 1e3), _MOST_MS))
            if self._schedules:
                parameters["timeout"] = ceil(left * 1e6)
        if self._schedules and request.priority:
            parameters["priority"] = request.priority
        id_ = f"{next(self._ids):x}"
        question = await self._encode(request, inputs, id_, parameters)
        if question.json_length is None:
            headers |= _JSON
        else:
            headers[_LENGTH] = str(question.json_length)
        answered = await self._post(question, headers)
        if not is_good(answered.status):
            if answered.status == 400 and "Infergate-Error" not in answered.headers:
                # Some servers say so of a model that they are just loading or unloading.
                await _ready(self._caller, self._path)
            raise refusal(answered, self._caller.address, merged=request.members > 1)
        try:
            reply = await self._decode(answered, request)
            self._check_reply(reply, id_)
        except BadAnswer as error:
            # Whatever else is on its connections may be of the same kind.
            self._caller.distrust()
            raise BadAnswer(f"{self._caller.address}: {error}") from None
        return reply, _timing(answered.headers)

    async def _post(self, question: Question, headers: Mapping[str, str]) -> Answered:
        try:
            return await self._caller.call(
                "POST", f"{self._path}/infer", parts=question.parts, headers=headers
            )
        except Stale as error:
            try:
                await _ready(self._caller, self._path)
            except UpstreamError:
                # Gone with it: the request may be the cause.
                raise ConnectionLost(error.message) from None
            raise

    def _check_reply(self, reply: Reply, id_: str) -> None:
        if reply.model and reply.model != self._remote_name:
            raise BadAnswer(f"the answer is of model '{reply.model[:64]}'")
        if self._echoes is None:
            self._echoes = bool(reply.id)
        if (reply.id or self._echoes) and reply.id != id_:
            raise BadAnswer("the answer is to another request")
        if reply.version not in {"", self.info.version}:
            self.odd_version = reply.version

    async def _encode(
        self,
        request: InferRequest,
        inputs: tuple[Tensor, ...],
        id_: str,
        parameters: Mapping[str, Any],
    ) -> Question:
        asked = InferRequest(
            request.model, inputs, outputs=request.outputs, parameters=request.parameters
        )
        encode = partial(
            encode_question, asked, id_=id_, binary=self._binary, parameters=parameters
        )
        if not self._binary and sum(tensor.nbytes for tensor in inputs) > _OFF_LOOP:
            return await asyncio.get_running_loop().run_in_executor(None, encode)
        return encode()

    async def _decode(self, answered: Answered, request: InferRequest) -> Reply:
        length = answered.headers.get(_LENGTH)
        specs = {spec.name: spec for spec in self.info.outputs}
        wanted = [output.name for output in request.outputs]
        decode = partial(decode_reply, answered.body, length, specs, wanted)
        if length is None and len(answered.body) > _OFF_LOOP:
            return await asyncio.get_running_loop().run_in_executor(None, decode)
        return decode()


async def meet(caller: Caller, *, name: str, remote_name: str, version: str = "") -> Served:
    """Ask *caller*'s server who it is and what *remote_name* is; no inference yet.

    Raises NotReady where it does not have the model, BadAnswer where what it tells cannot be used.
    """
    path = model_path(remote_name, version)
    server = await _server(caller)
    await _ready(caller, path)
    body = await _get(caller, path)
    config = None
    if _CONFIGURATION in server.extensions:
        answered = await caller.call("GET", f"{path}/config")
        config = answered.body if is_good(answered.status) else None
    described = describe_model(body, config, name=name, remote_name=remote_name, version=version)
    return Served(caller, path, remote_name, server=server, described=described, config=config)


def model_path(name: str, version: str) -> str:
    """Where the model is; without *version* it is the server's choice, and some have none."""
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


async def _server(caller: Caller) -> ServerInfo:
    """Not every server has this page; without it nothing is known but that it speaks v2."""
    answered = await caller.call("GET", "/v2")
    if answered.status >= 500 and answered.status != 501:
        raise NotReady(_said(caller, answered, "of itself"))
    return describe_server(answered.body) if is_good(answered.status) else ServerInfo()


async def _ready(caller: Caller, path: str) -> None:
    answered = await caller.call("GET", f"{path}/ready")
    if not is_good(answered.status):
        raise NotReady(_said(caller, answered, "of the model's readiness"))


async def _get(caller: Caller, path: str) -> Buffer:
    answered = await caller.call("GET", path)
    if not is_good(answered.status):
        raise NotReady(_said(caller, answered, "of the model"))
    return answered.body


def _said(caller: Caller, answered: Answered, what: str) -> str:
    text = failure_text(answered.body) or "nothing more"
    return f"{caller.address} says {answered.status} {what}: {text}"


def _timing(headers: Mapping[str, str]) -> float | None:
    """Seconds of computing, as another Infergate tells in ``Server-Timing``."""
    for entry in headers.get("Server-Timing", "").split(","):
        name, _, rest = entry.strip().partition(";dur=")
        if name == "infer":
            try:
                milliseconds = float(rest)
            except ValueError:
                return None
            return milliseconds / 1e3 if 0 < milliseconds < 1e9 else None
    return None
