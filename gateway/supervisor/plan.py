# SPDX-License-Identifier: Apache-2.0
"""Plan: the processes that a configuration asks for, as data. Nothing is started here."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.supervisor.child import Child, Kind
from gateway.wire.runtime import worker_socket

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config import Config
    from gateway.config.root import WorkerConfig

ROOT: Final = Path(__file__).parents[2]


def children(
    config: Config,
    *,
    config_path: str,
    runtime: str,
    http: Sequence[int],
    admin: int,
    environment: Mapping[str, str],
) -> list[Child]:
    """All processes of *config*: workers first, since loading a model takes longest.

    *http* are the descriptors of the data port's sockets, one for each gateway process, *admin*
    that of the admin port's. *environment* is the supervisor's own.
    """
    plan: list[Child] = []
    for model, section in config.models.items():
        replicas = (
            backend.worker
            for backend in section.backends
            if backend.worker is not None
            for _ in range(backend.worker.replicas)
        )
        for index, worker in enumerate(replicas):
            plan.append(
                Child(
                    name=f"{model}-{index}",
                    kind=Kind.WORKER,
                    argv=worker_command(
                        worker, model=model, socket=worker_socket(runtime, model, index)
                    ),
                    env={**surroundings(environment, threads=worker.threads), **worker.env},
                )
            )
    shared = ("--config", config_path, "--runtime", runtime)
    env = surroundings(environment)
    plan.extend(
        Child(
            name=f"gateway-{index}",
            kind=Kind.GATEWAY,
            argv=python("gateway.process", *shared, "--index", str(index)),
            env=env,
            sockets=(("http", fd),),
        )
        for index, fd in enumerate(http)
    )
    plan.append(
        Child(
            name="control",
            kind=Kind.CONTROL,
            argv=python("gateway.control", *shared),
            env=env,
            sockets=(("admin", admin),),
        )
    )
    return plan


def worker_command(worker: WorkerConfig, *, model: str, socket: str) -> tuple[str, ...]:
    """The command of one *worker* that serves *model* on the Unix socket *socket*."""
    options = {
        "--listen": f"unix:{socket}",
        "--name": model,
        "--threads": str(worker.threads),
        "--inter-threads": str(worker.inter_threads),
        "--instances": str(worker.instances),
        "--optimization": worker.optimization,
        "--providers": ",".join(worker.providers),
        "--arena": "on" if worker.arena else "off",
        "--spinning": "on" if worker.spinning else "off",
        "--warmup": str(worker.warmup),
        "--busy-poll": f"{worker.busy_poll:.6f}",
    }
    if worker.version is not None:
        options["--version"] = str(worker.version)
    pairs = (part for option in options.items() for part in option)
    return python("backends", worker.path, *pairs, "--die-with-parent")


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs *module* of this very program.

    ``-P``: a directory named like one of our packages in the current directory is not run.
    """
    return (sys.executable, "-P", "-m", module, *arguments)


def surroundings(environment: Mapping[str, str], *, threads: int = 1) -> dict[str, str]:
    """What a child's environment has other than *environment*, the supervisor's own.

    Numerical libraries would each start a thread per core at import, which costs start-up time,
    memory, and the cores that the inferences need; *threads* is what a worker is given.
    """
    env = {
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    if Path(sysconfig.get_path("purelib")) != ROOT:
        # Run from a source tree: the children run the same tree, whether or not it is installed.
        env["PYTHONPATH"] = ":".join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    return env
