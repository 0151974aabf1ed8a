# SPDX-License-Identifier: Apache-2.0
"""Target: a model of the generation in effect, and the names under which its golden runs lie."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

from gateway.control.probing.ask import NoAnswer
from gateway.errors import ConfigError, GatewayError
from gateway.pools import Spot, lone_transport, spots
from gateway.stages.augment import ensemble_of
from gateway.steps import bind_inputs, client_info, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.config import ModelConfig
    from gateway.quality.probes.rows import Rows
    from gateway.upstream.transport import Transport, Upcall
    from gateway.wire.generation import Generation
    from gateway.wire.model import ModelInfo
    from gateway.wire.state import GatewayState
    from gateway.wire.tensor import Tensor

Requests: TypeAlias = "Iterator[tuple[int, tuple[Tensor, ...]]]"


@dataclass(frozen=True, slots=True)
class Target:
    """The model *name* with its section *config*, as *generation* runs it in *runtime*."""

    name: str
    config: ModelConfig
    generation: Generation
    runtime: Path

    def spots(self, states: dict[str, GatewayState]) -> list[Spot]:
        """Its endpoints but those that an operator drains; *states* tell of resolved names."""
        found = spots(self.name, self.config, self.generation, self.runtime)
        named = {backend.place(self.name): backend for backend in self.config.backends
                 if backend.worker is None and backend.resolve is not None}  # fmt: skip
        seen: dict[str, str] = {}
        for state in states.values():
            model = state.models.get(self.name)
            for endpoint in model.endpoints if model is not None else ():
                seen[endpoint.name] = endpoint.address
        for name, address in seen.items():
            place, separator, at = name.rpartition("#")
            backend = named.get(place)
            if separator and backend is not None:
                url = backend.url or ""
                found.append(
                    Spot(
                        name, url or address, 1.0, None, own=False,
                        at=at if url else "", remote=backend.remote,
                    )
                )  # fmt: skip
        return [spot for spot in found if not self.generation.setting(spot.name).drained]

    def transport(self, spot: Spot) -> Callable[[Upcall], Transport]:
        """The way to *spot*; raises NoAnswer where its certificates cannot be read."""
        try:
            return lone_transport(self.name, spot, self.config)
        except ConfigError as error:
            raise NoAnswer("; ".join(error.faults)) from None

    def file_of(self, spot: Spot) -> str:
        """What stands for the model file that *spot* should have: an own worker's file as it lay
        there when the generation was made, else the endpoint itself.
        """
        for place in self.generation.of(self.name):
            if place.name == spot.name:
                return place.file
        return spot.name

    def seen_by_clients(self, info: ModelInfo) -> ModelInfo:
        """The model of *info* with the steps around it; raises NoAnswer where they do not fit."""
        try:
            return client_info(info, self.config.preprocess, self.config.postprocess)
        except ConfigError as error:
            raise NoAnswer("; ".join(error.faults)) from None

    def requests(self, rows: Rows, info: ModelInfo, *, together: int) -> Requests:
        """*rows* as requests for the worker of *info*, the steps on the way in done; lazily.

        Raises NoAnswer, here or on the way, for rows that the steps do not take.
        """
        try:
            kernel = bind_inputs(info, self.config.preprocess)
        except ConfigError as error:
            raise NoAnswer("; ".join(error.faults)) from None
        client = self.seen_by_clients(info)
        return _through(kernel, rows, client, together)

    def golden_name(self, rows: Rows, digest_of_file: str, *, gateway: bool) -> str:
        """Where golden answers of a model file to *rows* lie, through the *gateway* or not.

        Other steps around the model are other answers.
        """
        steps = digest(
            self.config.preprocess, self.config.postprocess, ensemble_of(self.config.augment)
        )
        told = f"{rows.digest} {len(rows)} {steps.hex()} {digest_of_file}"
        short = blake2b(told.encode(), digest_size=12).hexdigest()
        return f"probe/{self.name}/{'gateway' if gateway else 'direct'}/{short}"

    def file_name(self, spot: Spot) -> str:
        """Where the digest of the file that *spot* should have lies."""
        short = blake2b(self.file_of(spot).encode(), digest_size=12).hexdigest()
        return f"probe/{self.name}/file/{short}"


def _through(
    kernel: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]],
    rows: Rows,
    client: ModelInfo,
    together: int,
) -> Requests:
    try:
        for count, inputs in rows.requests(client, together=together):
            yield count, kernel(inputs)
    except GatewayError as error:
        raise NoAnswer(f"the steps do not take its rows: {error}") from None


def is_bare(rows: Rows, info: ModelInfo) -> bool:
    """Whether each request is one row without a first dimension of rows."""
    arrays = rows.arrays
    return not info.batched and any(
        arrays.get(spec.name, arrays.get("inputs", next(iter(arrays.values())))).ndim
        == len(spec.shape) + 1
        for spec in info.inputs
    )
