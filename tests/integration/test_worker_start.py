# SPDX-License-Identifier: Apache-2.0
"""A start that fails says why in one line; one that can be mended is."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gateway.wire.tensor import Tensor
from tests.support import models
from tests.support.worker_process import PATIENCE, Client, Worker, command


def fails(model: Path, *options: str, listen: str) -> str:
    """What a worker that cannot start says."""
    done = subprocess.run(
        command(model, *options, listen=listen),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("infergate worker: ")
    return done.stderr


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A model that is fine."""
    return models.save(models.identity(), tmp_path / "identity")


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    """With what would be right."""
    said = fails(tmp_path / "nowhere", listen=f"unix:{tmp_path}/w.sock")
    assert f"{tmp_path}/nowhere: no such file or directory; give MODEL" in said


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"<html>not found</html>"])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    """An interrupted download is the usual cause; onnxruntime's own log stays silent."""
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(content)
    said = fails(bad, listen=f"unix:{tmp_path}/w.sock")
    assert f"{bad}: not a model that onnxruntime can load" in said
    assert not (tmp_path / "w.sock").exists()


def test_a_truncated_model_is_named(identity: Path, tmp_path: Path) -> None:
    """Half a file is not served."""
    file = identity / "1" / "model.onnx"
    file.write_bytes(file.read_bytes()[:-20])
    assert "model.onnx: " in fails(identity, listen=f"unix:{tmp_path}/w.sock")


def test_missing_weights_are_named(tmp_path: Path) -> None:
    """A model whose weights stand in another file needs that file."""
    file = models.with_external_weights(tmp_path)
    (tmp_path / "weights.data").unlink()
    assert "weights.data" in fails(file, listen=f"unix:{tmp_path}/w.sock")


def test_external_weights_are_loaded(tmp_path: Path) -> None:
    """With that file, it is served."""
    file = models.with_external_weights(tmp_path)
    x = Tensor.of("x", np.zeros((1, 512), np.float32))
    with Worker(file) as worker, worker.connect() as client:
        assert client.infer(x)["y"].array()[0, 511] == 511


def test_a_port_in_use_is_named(identity: Path) -> None:
    """Two workers on one port would be one too many."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        assert f"{where}: address in use" in fails(identity, listen=where)


def test_a_socket_in_use_is_left_alone(identity: Path) -> None:
    """The worker that listens there goes on serving."""
    with Worker(identity) as worker:
        said = fails(identity, listen=f"unix:{worker.socket}")
        assert f"unix:{worker.socket}: address in use" in said
        with worker.connect() as client:
            assert client.infer(Tensor.of("x", np.ones((1, 2), np.float32)))["y"].shape == (1, 2)


def test_a_socket_left_by_a_dead_worker_is_replaced(identity: Path, tmp_path: Path) -> None:
    """A crash must not need a hand to clear up after it."""
    path = tmp_path / "w.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    with Worker(identity, listen=f"unix:{path}"), Client.to_unix(path) as client:
        assert client.hello.model.name == "identity"
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_socket_is_left_alone(identity: Path, tmp_path: Path) -> None:
    """A mistyped path must not cost anyone a file."""
    path = tmp_path / "precious.txt"
    path.write_text("data")
    assert "a file that is not a socket" in fails(identity, listen=f"unix:{path}")
    assert path.read_text() == "data"


@pytest.mark.parametrize("where", ["unix:{}/no/such/w.sock", "tcp:host.invalid:9"])
def test_a_place_that_cannot_be_listened_on_is_named(
    identity: Path, tmp_path: Path, where: str
) -> None:
    """A directory that is missing, a host that is not known."""
    listen = where.format(tmp_path)
    assert f"{listen}: cannot listen there" in fails(identity, listen=listen)
