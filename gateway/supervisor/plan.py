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
    from gateway.config.backend import WorkerConfig
    from gateway.wire.generation import Place

ROOT: Final = Path(__file__).parents[2]


def children(
    config: Config,
    places: Sequence[Place],
    *,
    config_path: str,
    runtime: str,
    http: Sequence[int],
    admin: int,
    environment: Mapping[str, str],
) -> list[Child]:
    """All processes of *config*: workers first, since loading a model takes longest.

    *places* are those of the workers. *config_path* is the file that the operator edits. *http*
    are the descriptors of the data port's sockets, one for each gateway process, *admin* that of
    the admin port's. *environment* is the supervisor's own.
    """
    plan = [
        worker_child(config, place, runtime=runtime, environment=environment) for place in places
    ]
    env = surroundings(environment)
    plan.extend(
        Child(
            name=f"gateway-{index}",
            kind=Kind.GATEWAY,
            argv=python("gateway.process", "--runtime", runtime, "--index", str(index)),
            env=env,
            sockets=(("http", fd),),
        )
        for index, fd in enumerate(http)
    )
    plan.append(
        Child(
            name="control",
            kind=Kind.CONTROL,
            argv=python(
                "gateway.control",
                *("--config", config_path),
                *("--runtime", runtime),
                *("--gateways", str(len(http))),
            ),
            env=env,
            sockets=(("admin", admin),),
        )
    )
    return plan


def worker_child(
    config: Config, place: Place, *, runtime: str, environment: Mapping[str, str]
) -> Child:
    """The worker at *place*."""
    worker = config.models[place.model].backends[place.backend].worker
    if worker is None:
        raise ValueError(f"{place.name} is at a backend that is no worker")
    return Child(
        name=place.name,
        kind=Kind.WORKER,
        argv=worker_command(
            worker,
            model=place.model,
            version=place.version,
            socket=worker_socket(runtime, place.model, place.number),
        ),
        env={**surroundings(environment, threads=worker.threads), **worker.env},
    )


def worker_command(
    worker: WorkerConfig, *, model: str, version: str = "", socket: str
) -> tuple[str, ...]:
    """The command of one *worker* that serves *model* on the Unix socket *socket*.

    *version* is told even where the configuration leaves it open: a worker that is started again
    serves what its siblings serve, although a newer one may lie there by then.
    """
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
    if version:
        options["--version"] = version
    pairs = (part for option in options.items() for part in option)
    return python("backends", worker.path, *pairs, "--die-with-parent")


def describing_command(worker: WorkerConfig, *, model: str) -> tuple[str, ...]:
    """The command that prints what *worker*'s *model* takes and gives, and ends."""
    version = () if worker.version is None else ("--version", str(worker.version))
    providers = ",".join(worker.providers)
    return python(
        "backends", worker.path, "--describe", "--name", model, *version, "--providers", providers
    )


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
