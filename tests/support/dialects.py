# SPDX-License-Identifier: Apache-2.0
"""How the products that speak v2 differ in what a prober sees of them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Dialect(NamedTuple):
    """How a product answers: *not_ready* is its status for that, *health* its body for ready."""

    name: str
    extensions: tuple[str, ...] = ()
    not_ready: int = 503
    health: bytes = b""
    unknown: int = 404


TRITON: Final = Dialect(
    "triton",
    ("classification", "sequence", "schedule_policy", "model_configuration", "binary_tensor_data"),
    not_ready=400,
)
KSERVE: Final = Dialect(
    "kserve", ("model_repository_extension",), health=b'{"name":"m","ready":true}'
)
MLSERVER: Final = Dialect("mlserver", (), not_ready=400, health=b'{"name":"m","ready":"True"}')
OVMS: Final = Dialect("OpenVINO Model Server", ("binary_tensor_data",), not_ready=404)
INFERGATE: Final = Dialect(
    "infergate", ("model_configuration", "binary_tensor_data"), health=b'{"ready":true}'
)
DIALECTS: Final = (TRITON, KSERVE, MLSERVER, OVMS, INFERGATE)
