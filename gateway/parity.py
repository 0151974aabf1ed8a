# SPDX-License-Identifier: Apache-2.0
"""Parity: whether a model's steps give what its golden vectors say, before it is served."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from gateway.errors import ConfigError
from gateway.steps.golden import read_golden

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.steps import InputStep, OutputStep, Rewiring
    from gateway.wire.model import ModelInfo


class Parity:
    """The golden vectors at *path*, and what they say of the steps around a model.

    *told* is called, on the loop, when a verdict is there.
    """

    def __init__(
        self,
        path: str,
        *,
        preprocess: Sequence[InputStep | Rewiring],
        postprocess: Sequence[OutputStep],
        rtol: float,
        atol: float,
        told: Callable[[], None],
    ) -> None:
        self._check = partial(
            _faults, path, tuple(preprocess), tuple(postprocess), rtol=rtol, atol=atol
        )
        self._path = path
        self._told = told
        self._of: ModelInfo | None = None
        self._faults: list[str] | None = None

    def __repr__(self) -> str:
        return f"<Parity with {self._path}>"

    def verdict(self, info: ModelInfo) -> list[str] | None:
        """What is wrong with the steps around the model of *info*; None while that is found out.

        That is done in a thread: a model of many pictures must not hold up the others. An equal
        model, of a worker that was started anew, has the verdict of before.
        """
        if info != self._of:
            self._of, self._faults = info, None
            job = asyncio.get_running_loop().run_in_executor(None, self._check, info)
            job.add_done_callback(partial(self._found, info))
        return self._faults

    def _found(self, info: ModelInfo, job: asyncio.Future[list[str]]) -> None:
        if self._of is not info or job.cancelled():
            return
        error = job.exception()
        self._faults = job.result() if error is None else [f"{self._path}: {error!r}"]
        self._told()


def _faults(
    path: str,
    preprocess: Sequence[InputStep | Rewiring],
    postprocess: Sequence[OutputStep],
    info: ModelInfo,
    *,
    rtol: float,
    atol: float,
) -> list[str]:
    try:
        return read_golden(path).faults(info, preprocess, postprocess, rtol=rtol, atol=atol)
    except ConfigError as error:
        return error.faults
