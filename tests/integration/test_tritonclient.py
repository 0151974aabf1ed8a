# SPDX-License-Identifier: Apache-2.0
"""tritonclient's HTTP client, unmodified, against the data port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.tensor import NUMPY, Tensor
from tests.support.dataport import WAYS, data_port
from tests.support.edge import Served, Service, model

# gevent, which the client brings, warns of what it does to the interpreter.
pytestmark = pytest.mark.filterwarnings("ignore")
triton = pytest.importorskip("tritonclient.http")

DATATYPES = sorted(set(NUMPY) - {"BF16", "FP16"})
ECHO = model(
    inputs=[(f"in_{name}", name, (-1, 2)) for name in [*DATATYPES, "FP16"]],
    outputs=[(f"out_{name}", name, (-1, 2)) for name in [*DATATYPES, "FP16"]],
    labels={"out_FP32": ("cat", "dog")},
)


def echo(request: InferRequest) -> InferResponse:
    """Each input as the output of the same datatype."""
    return InferResponse(
        tuple(
            Tensor(f"out_{given.datatype}", given.datatype, given.shape, given.data)
            for given in request.inputs
        )
    )


def values(name: str) -> Any:
    """Two rows of the datatype *name*."""
    if name == "BYTES":
        return np.array([["a", "ü"], ["", "b c"]], dtype=object)
    return np.array([[1, 0], [0, 1]], NUMPY[name])


@pytest.fixture(params=WAYS)
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client, whose server runs in a thread: the client blocks."""
    ready: list[int] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    end = asyncio.Event()

    async def serve() -> None:
        service = Service(ECHO, echo)
        models = {"m": Served(ECHO)}
        async with data_port(service, way=request.param, models=models) as port:
            ready.append(port)
            started.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait(20)
    made = triton.InferenceServerClient(f"127.0.0.1:{ready[0]}", network_timeout=20)
    yield made
    made.close()
    loop.call_soon_threadsafe(end.set)
    thread.join(20)
    loop.close()


def inputs(*, binary: bool) -> list[Any]:
    """All inputs; halves travel as bytes only."""
    made = []
    for name in [*DATATYPES, "FP16"]:
        one = triton.InferInput(f"in_{name}", [2, 2], name)
        one.set_data_from_numpy(values(name), binary_data=binary or name == "FP16")
        made.append(one)
    return made


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_every_datatype_comes_back(
    client: Any, *, binary_in: bool, binary_out: bool, coding: str | None
) -> None:
    """As JSON and as bytes, each way, compressed or not."""
    outputs = [
        triton.InferRequestedOutput(f"out_{name}", binary_data=binary_out or name == "FP16")
        for name in reversed([*DATATYPES, "FP16"])
    ]

    result = client.infer(
        "m", inputs(binary=binary_in), outputs=outputs, request_id="r 1",
        request_compression_algorithm=coding, response_compression_algorithm=coding,
    )  # fmt: skip

    assert result.get_response()["id"] == "r 1"
    for name in [*DATATYPES, "FP16"]:
        got = result.as_numpy(f"out_{name}")
        if name == "BYTES" and binary_out:
            got = np.vectorize(bytes.decode, otypes=[object])(got)
        assert got.tolist() == values(name).tolist()


def test_without_a_list_all_outputs_come_as_bytes(client: Any) -> None:
    """The client asks for them with one flag."""
    result = client.infer("m", inputs(binary=True), parameters={"other": 1})

    response = result.get_response()
    assert "id" not in response
    assert [output["name"] for output in response["outputs"]] == [
        f"out_{name}" for name in [*DATATYPES, "FP16"]
    ]
    assert all("binary_data_size" in output["parameters"] for output in response["outputs"])
    np.testing.assert_array_equal(result.as_numpy("out_FP16"), values("FP16"))


def test_classes_come_with_their_labels(client: Any) -> None:
    """Highest first."""
    wanted = [triton.InferRequestedOutput("out_FP32", class_count=1)]
    result = client.infer("m", inputs(binary=True), outputs=wanted)
    assert result.as_numpy("out_FP32").tolist() == [[b"1.000000:0:cat"], [b"1.000000:1:dog"]]


def test_empty_tensors_travel(client: Any) -> None:
    """No rows are rows too."""
    empty = []
    for one in inputs(binary=True):
        name = one.name().removeprefix("in_")
        made = triton.InferInput(one.name(), [0, 2], name)
        made.set_data_from_numpy(values(name)[:0], binary_data=True)
        empty.append(made)
    assert client.infer("m", empty).as_numpy("out_INT32").shape == (0, 2)


def test_health_and_metadata_are_understood(client: Any) -> None:
    """Every call of the client that this server offers."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1")
    assert not client.is_model_ready("z")
    assert client.get_server_metadata()["name"] == "infergate"
    assert client.get_model_metadata("m")["versions"] == ["1"]
    assert client.get_model_config("m")["max_batch_size"] > 0
    assert client.get_model_repository_index()[0]["state"] == "READY"


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda client: client.infer("z", inputs(binary=True)), "404"),
        (lambda client: client.infer("m", inputs(binary=True)[:1]), "400"),
        (lambda client: client.get_model_metadata("z"), "404"),
        (lambda client: client.load_model("m"), "501"),
        (lambda client: client.get_inference_statistics("m"), "501"),
        (lambda client: client.register_system_shared_memory("r", "/k", 8), "501"),
    ],
)
def test_errors_are_understood(client: Any, call: Any, status: str) -> None:
    """The client shows status and message."""
    with pytest.raises(triton.InferenceServerException) as caught:
        call(client)
    assert status in str(caught.value.status())
    assert caught.value.message()
