# SPDX-License-Identifier: Apache-2.0
"""Where the processes of one running Infergate meet: the files of its runtime directory.

The supervisor makes the directory, for its user alone, and removes it at the end.

    generation.msgpack        what is to run, see `gateway.wire.generation`
    config-1.yaml             the configuration of generation 1, as it was read
    orders/gateway-0.sock     where gateway process 0 takes orders, see `gateway.wire.orders`
    NAME-0.sock               where the first worker of the model NAME listens
    metrics/gateway-0.msgpack the last metrics of gateway process 0
    state/gateway-0.msgpack   what it knows of its endpoints
    probe.key                 what proves a request to be a quality probe
    outstanding               what each gateway process has pending, where there are several
    labels.sock               where it takes labels, see `gateway.wire.labels`
    samples.sock              where the control process takes samples, see `gateway.wire.samples`
    sampling.key              32 bytes that all processes choose samples by
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final

# sockaddr_un holds 108 bytes with the final zero.
_LONGEST: Final = 107


def config_copy(runtime: str | Path, generation: int) -> Path:
    """Where the configuration file of *generation* is kept as it was read."""
    return Path(runtime) / f"config-{generation}.yaml"


def worker_socket(runtime: str | Path, model: str, replica: int) -> str:
    """The Unix socket of a worker; *replica* is its number among the workers of *model*.

    A name too long for a socket address is replaced by its digest.
    """
    path = f"{runtime}/{model}-{replica}.sock"
    if len(path.encode()) > _LONGEST:
        digest = blake2b(model.encode(), digest_size=8).hexdigest()
        path = f"{runtime}/{digest}-{replica}.sock"
    return path


def outstanding_file(runtime: str | Path) -> Path:
    """What each gateway process has pending; it is there only where there are several."""
    return Path(runtime) / "outstanding"


def samples_socket(runtime: str | Path) -> Path:
    """Where gateway processes hand over what they have answered; nobody answers on it."""
    return Path(runtime) / "samples.sock"


def labels_socket(runtime: str | Path) -> Path:
    """Where the control process takes labels that clients have sent to gateway processes."""
    return Path(runtime) / "labels.sock"


def sampling_key_file(runtime: str | Path) -> Path:
    """The key of `gateway.wire.selection`, where the configuration gives none."""
    return Path(runtime) / "sampling.key"


def probe_key_file(runtime: str | Path) -> Path:
    """The key that proves a request to be a quality probe; see `gateway.wire.probe`."""
    return Path(runtime) / "probe.key"


def metrics_directory(runtime: str | Path) -> Path:
    """Where each process leaves its last metrics, one file each."""
    return Path(runtime) / "metrics"


def state_directory(runtime: str | Path) -> Path:
    """Where each gateway process leaves what it knows of its endpoints, one file each."""
    return Path(runtime) / "state"


def state_file(runtime: str | Path, index: int) -> Path:
    """The state of gateway process *index*: msgpack, replaced as a whole once a second.

    ``{"models": {NAME: {"ready": bool, "queued": int, "endpoints": [{"name", "address", "state",
    "pending", "weight"}]}}}``
    """
    return state_directory(runtime) / f"gateway-{index}.msgpack"
