# SPDX-License-Identifier: Apache-2.0
"""A real worker, a real socket: what goes in, what comes out."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from gateway.wire.frames import Kind, PongHead, read_head
from gateway.wire.tensor import NUMPY, Tensor
from tests.support import models
from tests.support.tree import ROOT
from tests.support.worker_process import PATIENCE, Client, Worker, command

EXAMPLES = {
    "BOOL": b"\0\1\1\0",
    "BF16": b"\x80\x3f\x00\x40\xc0\x7f\x80\xff",  # 1, 2, not a number, minus infinity
    "FP16": np.array([1, -0.0, np.nan, np.inf], "<f2").tobytes(),
    "FP32": np.array([1e-45, -0.0, np.nan, -np.inf], "<f4").tobytes(),
    "FP64": np.array([5e-324, -0.0, np.nan, np.inf], "<f8").tobytes(),
    "BYTES": bytes(Tensor.of("x", np.array(["", "ü", "a\0b", "😀" * 9], dtype=object)).data),
}
for _name in ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"):
    _limits = np.iinfo(NUMPY[_name])
    EXAMPLES[_name] = np.array([0, 1, _limits.min, _limits.max], NUMPY[_name]).tobytes()


@pytest.mark.parametrize("datatype", EXAMPLES)
def test_every_datatype_comes_back_bit_for_bit(tmp_path: Path, datatype: str) -> None:
    """Extreme values, not-a-number, empty text and zero bytes included."""
    data = EXAMPLES[datatype]
    with (
        Worker(models.save(models.identity(datatype), tmp_path / "m")) as worker,
        worker.connect() as client,
    ):
        for shape in ((2, 2), (0, 2)):
            content = data if shape[0] else b""
            y = client.infer(Tensor("x", datatype, shape, content))["y"]
            assert (y.datatype, y.shape, bytes(y.data)) == (datatype, shape, content)


@pytest.mark.parametrize(
    ("model", "shape", "batched"),
    [
        (models.identity(shape=()), (), False),
        (models.identity(shape=(2, 3)), (2, 3), False),
        (models.identity(shape=("rows", "columns")), (5, 7), True),
        (models.identity(shape=("rows", 3)), (0, 3), True),
        (models.identity(shape=("rows", 70_000)), (3, 70_000), True),
    ],
    ids=["scalar", "fixed", "free", "empty", "larger-than-the-stage"],
)
def test_every_kind_of_shape_is_served(
    tmp_path: Path, model: onnx.ModelProto, shape: tuple[int, ...], *, batched: bool
) -> None:
    """Scalars, fixed and free dimensions, no rows at all, and more bytes than one read gives."""
    array = np.random.default_rng(7).random(shape, np.float32)
    with Worker(models.save(model, tmp_path / "m")) as worker, worker.connect() as client:
        assert client.hello.model.batched is batched
        y = client.infer(Tensor.of("x", np.asarray(array)))["y"]
        assert np.array_equal(y.array(), array)


def test_several_inputs_and_outputs_are_told_apart(tmp_path: Path) -> None:
    """The order of the inputs does not matter, that of the outputs is the one asked for."""
    a = Tensor.of("a", np.array([[1, 2]], np.float32))
    b = Tensor.of("b", np.array([[10, 20]], np.float32))
    with Worker(models.save(models.add(), tmp_path / "add")) as worker, worker.connect() as client:
        assert client.infer(b, a)["sum"].array().tolist() == [[11, 22]]
    x = Tensor.of("x", np.array([[0, 9, 0]], np.float32))
    with (
        Worker(models.save(models.two_outputs(), tmp_path / "two")) as worker,
        worker.connect() as client,
    ):
        assert list(client.infer(x)) == ["class", "scores"]
        assert list(client.infer(x, outputs=("scores", "class"))) == ["scores", "class"]
        assert client.infer(x, outputs=("class",))["class"].array().tolist() == [1]


def test_the_digits_are_those_of_onnxruntime_alone() -> None:
    """Every held-out image gets the very bits that the library gives in the test's own process."""
    directory = ROOT / "models" / "digits"
    with np.load(directory / "test.npz") as held_out:
        images = held_out["inputs"] * np.float32(0.0625)
    session = onnxruntime.InferenceSession(str(directory / "1" / "model.onnx"))
    label, probabilities = session.run(["label", "probabilities"], {"image": images})
    with Worker(directory) as worker, worker.connect() as client:
        assert client.hello.model.labels["label"][3] == "three"
        given = client.infer(Tensor.of("image", images))
        assert np.array_equal(given["label"].array(), label)
        assert np.array_equal(given["probabilities"].array(), probabilities)


def test_many_requests_in_flight_each_get_their_own_answer(tmp_path: Path) -> None:
    """Two connections and three instances; the id pairs an answer with its question."""
    directory = models.save(models.add(), tmp_path / "add")
    with (
        Worker(directory, "--instances", "3") as worker,
        worker.connect() as first,
        worker.connect() as second,
    ):
        assert first.hello.model.parallelism == 3
        assert first.hello.instance == second.hello.instance
        expected: dict[tuple[int, int], float] = {}
        for number in range(200):
            for which, client in enumerate((first, second)):
                value = 1000.0 * which + number
                a = Tensor.of("a", np.full((1, 2), value, np.float32))
                b = Tensor.of("b", np.ones((1, 2), np.float32))
                expected[which, client.ask(a, b)] = value + 1
        for which, client in enumerate((first, second)):
            for _ in range(200):
                id_, _, outputs = client.result()
                assert outputs["sum"].array().tolist() == [[expected.pop((which, id_))] * 2]
        assert not expected


def test_a_bad_request_costs_only_itself(tmp_path: Path) -> None:
    """Its error names the fault; the connection and the next request are fine."""
    with (
        Worker(models.save(models.identity("BYTES"), tmp_path / "m")) as worker,
        worker.connect() as client,
    ):
        fine = Tensor.of("x", np.array([["a", "b"]], dtype=object))
        asked = [
            client.ask(Tensor.of("x", np.array([[b"a", b"\xff"]], dtype=object))),
            client.ask(Tensor.of("z", np.array([["a", "b"]], dtype=object))),
            client.ask(fine, outputs=("z",)),
            client.ask(Tensor("x", "FP32", (1, 2), bytes(8))),
            client.ask(),
        ]
        for id_, says in zip(
            asked,
            ("element 1 is not UTF-8", "'z'", "'z'", "datatype BYTES expected", "missing"),
            strict=True,
        ):
            answered, head = client.error()
            assert (answered, head.code) == (id_, "invalid_request")
            assert says in head.message
        assert bytes(client.infer(fine)["y"].data) == fine.data


def test_what_fails_inside_the_model_is_told(tmp_path: Path) -> None:
    """The text is onnxruntime's, in one line."""
    with Worker(models.save(models.gather(), tmp_path / "m")) as worker, worker.connect() as client:
        id_ = client.ask(Tensor.of("index", np.array([99], np.int64)))
        answered, head = client.error()
        assert answered == id_
        assert head.code in {"invalid_request", "upstream_failed"}
        assert "99" in head.message
        index = Tensor.of("index", np.array([2], np.int64))
        assert client.infer(index)["y"].array().tolist() == [2]


def test_a_ping_is_answered_after_an_inference(tmp_path: Path) -> None:
    """An idle worker computes its probe for it."""
    with (
        Worker(models.save(models.identity(), tmp_path / "m")) as worker,
        worker.connect() as client,
    ):
        id_ = client.ping()
        pong = client.answer()
        assert (pong.kind, pong.id) == (Kind.PONG, id_)
        assert read_head(pong.head, PongHead).pending == 0


def test_tcp_serves_like_a_unix_socket(tmp_path: Path) -> None:
    """A worker started by hand says where it listens, and port 0 is any free one."""
    directory = models.save(models.identity(), tmp_path / "m")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("INFERGATE_")}
    with subprocess.Popen(
        command(directory, listen="tcp:127.0.0.1:0"),
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.fullmatch(r"infergate worker: m 1 serves on tcp:127\.0\.0\.1:(\d+)\n", said)
            assert found, said
            with Client.to_tcp("127.0.0.1", int(found[1])) as client:
                x = Tensor.of("x", np.ones((300, 2), np.float32))
                assert client.infer(x)["y"].shape == (300, 2)
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
