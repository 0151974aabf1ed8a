# SPDX-License-Identifier: Apache-2.0
"""The processes that a configuration asks for."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from gateway.config import BackendConfig, Config, ModelConfig, WorkerConfig
from gateway.config.placement import placed
from gateway.supervisor.child import Child, Kind
from gateway.supervisor.plan import ROOT, children, surroundings, worker_command


def planned(config: Config, *, environment: Mapping[str, str] | None = None) -> list[Child]:
    """The plan of *config* with two gateway processes."""
    return children(
        config,
        placed(config),
        config_path="/etc/x.yaml",
        runtime="/run/x",
        http=[7, 8],
        admin=9,
        environment=environment or {},
    )


def model(*backends: BackendConfig) -> ModelConfig:
    """A model with these backends and nothing else said."""
    return ModelConfig(backends=backends)


def test_replicas_are_numbered_over_all_backends_of_a_model() -> None:
    """Each worker has a name and a socket of its own, also where a model has two versions."""
    config = Config(
        models={
            "digits": model(
                BackendConfig(worker=WorkerConfig(path="models/digits", replicas=2)),
                BackendConfig(address="tcp:10.0.0.7:9000"),
                BackendConfig(worker=WorkerConfig(path="models/digits", version=2)),
            )
        }
    )
    workers = [child for child in planned(config) if child.kind is Kind.WORKER]
    assert [child.name for child in workers] == ["digits-0", "digits-1", "digits-2"]
    listens = [child.argv[child.argv.index("--listen") + 1] for child in workers]
    assert listens == [f"unix:/run/x/digits-{index}.sock" for index in range(3)]


def test_each_gateway_process_gets_its_own_socket() -> None:
    """And its index, by which it finds its files again."""
    config = Config(models={"digits": model(BackendConfig(address="tcp:10.0.0.7:9000"))})
    plan = planned(config)
    assert [child.name for child in plan] == ["gateway-0", "gateway-1", "control"]
    assert [child.sockets for child in plan] == [
        (("http", 7),),
        (("http", 8),),
        (("admin", 9),),
    ]
    assert plan[1].argv == (
        *(sys.executable, "-P", "-m", "gateway.process"),
        *("--runtime", "/run/x", "--index", "1"),
    )


def test_control_knows_the_file_that_operators_edit() -> None:
    """And how many gateway processes it has to tell of it."""
    config = Config(models={"digits": model(BackendConfig(address="tcp:10.0.0.7:9000"))})
    assert planned(config)[-1].argv == (
        *(sys.executable, "-P", "-m", "gateway.control"),
        *("--config", "/etc/x.yaml", "--runtime", "/run/x", "--gateways", "2"),
    )


def test_a_worker_is_told_every_option_of_its_section() -> None:
    """What the configuration says reaches the program as it says it."""
    worker = WorkerConfig(
        path="m.onnx",
        threads=4,
        inter_threads=2,
        instances=5,
        optimization="basic",
        providers=("AExecutionProvider", "BExecutionProvider"),
        arena=False,
        spinning=True,
        warmup=7,
        busy_poll=0.0004,
    )
    command = worker_command(worker, model="digits", version="3", socket="/run/x/s")
    assert command[:5] == (sys.executable, "-P", "-m", "backends", "m.onnx")
    assert command[-1] == "--die-with-parent"
    options = dict(zip(command[5:-1:2], command[6:-1:2], strict=True))
    assert options == {
        "--listen": "unix:/run/x/s",
        "--name": "digits",
        "--version": "3",
        "--threads": "4",
        "--inter-threads": "2",
        "--instances": "5",
        "--optimization": "basic",
        "--providers": "AExecutionProvider,BExecutionProvider",
        "--arena": "off",
        "--spinning": "on",
        "--warmup": "7",
        "--busy-poll": "0.000400",
    }


def test_a_worker_has_the_environment_of_its_section() -> None:
    """A variable that the section sets wins over what every child gets."""
    worker = WorkerConfig(path="m.onnx", threads=2, env={"OMP_NUM_THREADS": "9", "A": "b"})
    config = Config(models={"digits": model(BackendConfig(worker=worker))})
    first, *others = planned(config)
    assert first.env["OMP_NUM_THREADS"] == "9"
    assert first.env["A"] == "b"
    assert all(child.env["OMP_NUM_THREADS"] == "1" for child in others)
    assert not any("A" in child.env for child in others)


def test_a_source_tree_runs_itself() -> None:
    """Children import the same tree, before any other on a path that was set."""
    assert surroundings({})["PYTHONPATH"] == str(ROOT)
    assert surroundings({"PYTHONPATH": "/a:/b"})["PYTHONPATH"] == f"{ROOT}:/a:/b"
