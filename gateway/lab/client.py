# SPDX-License-Identifier: Apache-2.0
"""A client of a running gateway: metadata, and predictions by any of its HTTP protocols."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec
import numpy as np

from gateway.errors import InvalidRequest
from gateway.lab import LabError
from gateway.wire.model import TensorSpec
from gateway.wire.tensor import NUMPY, Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.wire.tensor import Array

Protocol = Literal["v2-binary", "v2-json", "v1"]
PROTOCOLS: Final[tuple[Protocol, ...]] = get_args(Protocol)
_HEADER_LENGTH: Final = "Inference-Header-Content-Length"


class _Described(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]

    def spec(self) -> TensorSpec:
        return TensorSpec(self.name, self.datatype, self.shape)


class _Metadata(msgspec.Struct):
    inputs: list[_Described]
    outputs: list[_Described]


class _Parameters(msgspec.Struct):
    binary_data_size: int | None = None


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | None = None
    parameters: _Parameters = msgspec.field(default_factory=_Parameters)


class _Answer(msgspec.Struct):
    outputs: list[_Output]


class _Predictions(msgspec.Struct):
    predictions: list[Any]


_answers: Final = msgspec.json.Decoder(_Answer)


def ask_v2(
    inputs: Sequence[Tensor], outputs: Sequence[str], *, binary: bool
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a v2 request for the tensors *outputs*."""
    described: list[dict[str, Any]] = []
    for tensor in inputs:
        entry: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
        }
        if binary:
            entry["parameters"] = {"binary_data_size": tensor.nbytes}
        else:
            entry["data"] = _plain(tensor.array().ravel())
        described.append(entry)
    wanted = [{"name": name, "parameters": {"binary_data": binary}} for name in outputs]
    head = msgspec.json.encode({"inputs": described, "outputs": wanted})
    if not binary:
        return {"Content-Type": "application/json"}, head
    headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(len(head))}
    return headers, b"".join((head, *(bytes(tensor.data) for tensor in inputs)))


def read_v2(headers: Mapping[str, str], body: bytes, output: str) -> Array:
    """The tensor *output* of a v2 answer; raises LabError for anything else."""
    try:
        length = int(headers.get(_HEADER_LENGTH, len(body)))
        answer = _answers.decode(body[:length])
        offset = length
        for tensor in answer.outputs:
            size = tensor.parameters.binary_data_size
            if tensor.name == output:
                if size is None:
                    return _array(tensor)
                data = body[offset : offset + size]
                return Tensor(output, tensor.datatype, tensor.shape, data).array()
            offset += size or 0
    except (ValueError, KeyError, TypeError, OverflowError, InvalidRequest,
            msgspec.MsgspecError) as error:  # fmt: skip
        raise LabError(f"an answer that is not v2: {error}") from None
    raise LabError(f"an answer without the output '{output}'")


def ask_v1(inputs: Sequence[Tensor], *, bare: bool) -> tuple[dict[str, str], bytes]:
    """Headers and body of a v1 request in the row format; *bare* inputs are one row each."""
    columns = {}
    for tensor in inputs:
        array = tensor.array()
        columns[tensor.name] = _plain(array[None] if bare else array)
    rows: list[Any]
    if len(columns) == 1:
        (rows,) = columns.values()
    else:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {"Content-Type": "application/json"}, msgspec.json.encode({"instances": rows})


def read_v1(body: bytes, output: TensorSpec) -> Array:
    """*output* of each row of a v1 answer, with the rows as first dimension; raises LabError."""
    try:
        rows = msgspec.json.decode(body, type=_Predictions).predictions
        if rows and isinstance(rows[0], dict):
            rows = [row[output.name] for row in rows]
        if output.datatype == "BYTES":
            return np.asarray([str(row).encode() for row in rows], dtype=object)
        return np.asarray(rows, dtype=NUMPY[output.datatype])
    except (ValueError, KeyError, TypeError, OverflowError, msgspec.MsgspecError) as error:
        raise LabError(f"an answer that is not v1: {error}") from None


def _plain(array: Array) -> Any:  # noqa: ANN401 - nested lists of any depth
    if array.dtype == object:
        text = np.asarray([item.decode() for item in array.ravel()], dtype=object)
        return text.reshape(array.shape).tolist()
    return array.tolist()


def _array(tensor: _Output) -> Array:
    if tensor.datatype == "BYTES":
        elements = [str(item).encode() for item in tensor.data or ()]
        array = np.empty(len(elements), dtype=object)
        array[:] = elements
    else:
        array = np.asarray(tensor.data, dtype=NUMPY[tensor.datatype])
    return array.reshape(tensor.shape)


class Client:
    """One *model* of the server at *url*; an ``async with`` owns its connections.

    *timeout* is in seconds, for each call. Every fault is a LabError that says what failed.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        protocol: Protocol = "v2-binary",
        timeout: float = 30.0,
        connections: int = 4,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise LabError(f"URL '{url}': expected http://HOST:PORT")
        if protocol not in PROTOCOLS:
            raise LabError(f"protocol '{protocol}': expected one of {', '.join(PROTOCOLS)}")
        self._url = url.rstrip("/")
        self._model = model
        self._protocol = protocol
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._connections = connections
        self._session: aiohttp.ClientSession

    def __repr__(self) -> str:
        return f"<Client {self._protocol} {self._url} {self._model}>"

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def specs(self) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """What the model takes and gives."""
        _, body = await self._call("GET", f"/v2/models/{quote(self._model, safe='')}")
        try:
            metadata = msgspec.json.decode(body, type=_Metadata)
        except msgspec.MsgspecError as error:
            raise LabError(f"{self._url}: metadata that is not v2: {error}") from None
        return [one.spec() for one in metadata.inputs], [one.spec() for one in metadata.outputs]

    async def predict(
        self, inputs: Sequence[Tensor], outputs: Sequence[TensorSpec], *, bare: bool = False
    ) -> list[Array]:
        """The tensors *outputs* for *inputs*, always with a first dimension of rows.

        *bare*: the inputs are one row, without that dimension.
        """
        name = quote(self._model, safe="")
        if self._protocol == "v1":
            headers, body = ask_v1(inputs, bare=bare)
            _, answer = await self._call("POST", f"/v1/models/{name}:predict", headers, body)
            return [read_v1(answer, output) for output in outputs]
        names = [output.name for output in outputs]
        headers, body = ask_v2(inputs, names, binary=self._protocol == "v2-binary")
        told, answer = await self._call("POST", f"/v2/models/{name}/infer", headers, body)
        arrays = [read_v2(told, answer, one) for one in names]
        return [array[None] if bare else array for array in arrays]

    async def _call(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[Mapping[str, str], bytes]:
        try:
            async with self._session.request(
                method, self._url + path, headers=headers, data=body or None
            ) as response:
                answer = await response.read()
        except TimeoutError:
            seconds = self._timeout.total
            raise LabError(f"{self._url}: no answer to {path} within {seconds:g} s") from None
        except aiohttp.ClientConnectorError as error:
            why = os.strerror(error.errno) if error.errno else str(error.os_error)
            raise LabError(f"{self._url}: cannot be reached: {why}") from None
        except (aiohttp.ClientError, OSError) as error:
            why = str(error) or type(error).__name__
            raise LabError(f"{self._url}: no whole answer to {path}: {why}") from None
        if response.status != 200:
            raise LabError(f"{self._url}{path} answered {response.status}: {_reason(answer)}")
        return response.headers, answer


def _reason(body: bytes) -> str:
    try:
        reason = msgspec.json.decode(body)["error"]
    except (msgspec.MsgspecError, KeyError, TypeError):
        reason = body[:200].decode("utf-8", "replace")
    return " ".join(str(reason).split())
