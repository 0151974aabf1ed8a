# SPDX-License-Identifier: Apache-2.0
"""A small server of the protocol's gRPC side, which says what it was asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio
import numpy as np

from gateway.lab.load.messages import SERVICE, message

if TYPE_CHECKING:
    from types import TracebackType


class GrpcServer:
    """Serves model ``m``, from x FP32 [-1, 2] and t BYTES [-1, 1], on a free port of loopback.

    *code* in place of an answer, and *said* with it. `rows` has what was asked, row by row.
    """

    def __init__(self, code: grpc.StatusCode | None = None, said: str = "scripted") -> None:
        self.code = code
        self.said = said
        self.rows: list[tuple[bytes, bytes]] = []
        self.metadata: dict[str, str] = {}
        self.hold = asyncio.Event()
        self.hold.set()
        self.port = 0
        self._server = grpc.aio.server()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"grpc://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                method, message(f"{name}Request").FromString,
                message(f"{name}Response").SerializeToString,
            )
            for name, method in (
                ("ServerMetadata", self._server_metadata),
                ("ModelMetadata", self._model_metadata),
                ("ModelInfer", self._infer),
            )
        }  # fmt: skip
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, handlers),)
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hold.set()
        await self._server.stop(None)

    async def _server_metadata(self, request: Any, context: Any) -> Any:
        return message("ServerMetadataResponse")(name="small", version="2")

    async def _model_metadata(self, request: Any, context: Any) -> Any:
        if request.name != "m":
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.name}")
        made = message("ModelMetadataResponse")(name="m", versions=["1"])
        made.inputs.add(name="x", datatype="FP32", shape=[-1, 2])
        made.inputs.add(name="t", datatype="BYTES", shape=[-1, 1])
        return made

    async def _infer(self, request: Any, context: Any) -> Any:
        self.metadata = dict(context.invocation_metadata())
        await self.hold.wait()
        if self.code is not None:
            await context.abort(self.code, self.said)
        first, second = request.raw_input_contents
        rows = request.inputs[0].shape[0]
        assert list(request.inputs[1].shape) == [rows, 1]
        numbers = np.frombuffer(first, "<f4").reshape(rows, 2)
        texts, at = [], 0
        for _ in range(rows):
            size = int.from_bytes(second[at : at + 4], "little")
            texts.append(second[at + 4 : at + 4 + size])
            at += 4 + size
        assert at == len(second)
        self.rows += [(row.tobytes(), text) for row, text in zip(numbers, texts, strict=True)]
        await context.send_initial_metadata((
            ("server-timing", "infer;dur=2"), ("cache-status", "infergate; fwd=miss"),
            ("infergate-backend", "b0"), ("infergate-model-digest", "d1"),
        ))  # fmt: skip
        made = message("ModelInferResponse")(model_name="m")
        made.outputs.add(name="y", datatype="FP32", shape=[rows, 1])
        made.raw_output_contents.append(numbers[:, :1].tobytes())
        return made
