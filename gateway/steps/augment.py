# SPDX-License-Identifier: Apache-2.0
"""Ensemble: views of a row, asked about together, and the one answer made of theirs."""

from __future__ import annotations

from functools import lru_cache, partial
from math import prod
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from gateway.errors import BadAnswer, ConfigError, InvalidRequest
from gateway.steps.answer import made
from gateway.steps.merging import Given, Merge, agreeing, confidence, merged_scores
from gateway.steps.sampling import Sampling, resample, sampling
from gateway.steps.step import FLOATS, INTEGERS, Misfit, Tensors, find, listed
from gateway.steps.views import Identity, Noise, Warp
from gateway.wire.tensor import NUMPY, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.steps.step import Kernel
    from gateway.wire.model import ModelInfo, TensorSpec
    from gateway.wire.tensor import Array

Layout = Literal["NCHW", "NHWC"]
_SIZES: Final = 16


class Ensemble:
    """*views* of the pictures in one input, and how the answers are merged.

    *layout* is that of the input, or of *shape*, which a row has that comes as a flat vector:
    height and width, with channels before or behind them where there are. *fill* is the value
    beyond the edge, None repeats the pixel there. *given* says what *output* holds.
    """

    def __init__(
        self,
        *,
        views: Sequence[Any],
        merge: Merge = "mean",
        given: Given = "probabilities",
        input: str = "",  # noqa: A002 - as in the configuration
        output: str = "",
        layout: Layout = "NCHW",
        shape: tuple[int, ...] = (),
        fill: float | None = None,
    ) -> None:
        self.views = tuple(views)
        self.merge = merge
        self.given = given
        self.input = input
        self.output = output
        self.layout = layout
        self.shape = shape
        self.fill = fill

    def __repr__(self) -> str:
        return f"<Ensemble of {len(self.views)} views, {self.merge} of {self.given}>"

    def recipe(self) -> bytes:
        """All that decides what the answer is made of, for digests."""
        views = [(view.kind, msgspec.msgpack.encode(view)) for view in self.views]
        told = (self.merge, self.given, self.input, self.output, self.layout, self.shape, self.fill)
        return msgspec.msgpack.encode((views, told))

    def bind(self, info: ModelInfo) -> BoundEnsemble:
        """The ensemble for a model; raises ConfigError where it has no such input or output."""
        try:
            return BoundEnsemble(self, info)
        except Misfit as error:
            raise ConfigError([f"model '{info.name}': augment: {error}"]) from None


class BoundEnsemble:
    """An *ensemble* made ready for the model of *info*; raises Misfit where it does not fit."""

    def __init__(self, ensemble: Ensemble, info: ModelInfo) -> None:
        if not info.batched:
            raise Misfit("the views of a row share a batch, and this model has no batch dimension")
        self.ensemble = ensemble
        self.spec = self._input(info)
        self.scores = self._output(info)
        self._pictures = self._axes()
        self._sampling = lru_cache(_SIZES)(self._samplings)
        # What is known of the size already is checked now.
        size = self._size(self.spec.shape)
        if -1 not in size:
            self._sampling(*size)

    def __repr__(self) -> str:
        return f"<BoundEnsemble {self.ensemble!r} of '{self.spec.name}'>"

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the input, as far as the model fixes it."""
        return prod(max(d, 1) for d in self.spec.shape[1:]) * NUMPY[self.spec.datatype].itemsize

    def expand(
        self, views: Sequence[int], *, request: str = "", rows: Sequence[int] | None = None
    ) -> Kernel:
        """The kernel that makes *views*, by their places: all rows of one, then of the next.

        *request* is the client's id, for noise that goes by it and by *rows*, the numbers of the
        rows in it; they are counted from 0 by default. Other inputs are repeated.
        """
        return partial(self._expand, tuple(views), request, rows)

    def merged(self, answers: Tensors, views: int) -> Tensors:
        """One answer of the outputs for *views* views, in the order of `expand`.

        Raises BadAnswer where they do not line up.
        """
        parts = []
        for tensor in answers:
            array = tensor.array()
            if not array.ndim or array.shape[0] % views:
                raise BadAnswer(
                    f"output '{tensor.name}' has shape {list(tensor.shape)} for {views} views"
                )
            parts.append(array.reshape(views, len(array) // views, *array.shape[1:]))
        at = find(answers, self.scores.name, self.scores.datatype)
        scores, how = parts[at], self.ensemble
        best = merged_scores(scores, given=how.given, merge=how.merge)
        first = np.zeros(scores.shape[1], np.intp)
        if how.given != "values" and scores.ndim == 3:
            first = agreeing(scores, best)
        rows = np.arange(scores.shape[1])
        results = []
        for place, (tensor, part) in enumerate(zip(answers, parts, strict=True)):
            if place == at:
                array = best
            elif tensor.datatype in FLOATS:
                array = part.astype(np.float64).mean(axis=0)
            else:
                # What is no measure has no mean: it is that of a view which says the same class.
                results.append(Tensor.of(tensor.name, part[first, rows], datatype=tensor.datatype))
                continue
            dtype = NUMPY[tensor.datatype]
            results.append(made(tensor.name, tensor.datatype, array.astype(dtype)))
        return tuple(results)

    def unsure(self, answers: Tensors, below: float) -> Array:
        """The rows whose highest probability is less than *below*, or is no number, as indices."""
        scores = answers[find(answers, self.scores.name, self.scores.datatype)].array()
        sure = confidence(scores, given=self.ensemble.given) >= below
        (rows,) = np.nonzero(~sure)
        return rows

    def _expand(
        self, views: tuple[int, ...], request: str, rows: Sequence[int] | None, tensors: Tensors
    ) -> Tensors:
        expanded = []
        for tensor in tensors:
            shape = (tensor.shape[0] * len(views), *tensor.shape[1:])
            if tensor.name != self.spec.name:
                data = bytes(tensor.data) * len(views)
                expanded.append(Tensor(tensor.name, tensor.datatype, shape, data))
                continue
            pixels = self._pixels(tensor)
            how = self._how(tensor)
            numbers = range(len(pixels)) if rows is None else rows
            seen = [self._view(place, pixels, how, request, numbers) for place in views]
            expanded.append(made(tensor.name, tensor.datatype, np.concatenate(seen).reshape(shape)))
        return tuple(expanded)

    def _view(
        self,
        place: int,
        pixels: Array,
        how: dict[int, Sampling],
        request: str,
        numbers: Sequence[int],
    ) -> Array:
        """The rows of *pixels* in the view at *place*, in the same shape."""
        view = self.ensemble.views[place]
        if isinstance(view, Identity):
            return pixels
        if isinstance(view, Noise):
            return view.add(pixels, place=place, request=request, numbers=numbers)
        rows = pixels.reshape(-1, *pixels.shape[-2:])
        return resample(rows, how[place], fill=self.ensemble.fill or 0.0).reshape(pixels.shape)

    def _how(self, tensor: Tensor) -> dict[int, Sampling]:
        try:
            return self._sampling(*self._size(tensor.shape))
        except Misfit as error:
            raise InvalidRequest(f"input '{tensor.name}': {error}") from None

    def _pixels(self, tensor: Tensor) -> Array:
        """The values of *tensor* as [rows, before, pixels, behind]: channels stand on one side."""
        array, spec = tensor.array(), self.spec
        fits = array.ndim == len(spec.shape) and all(
            expected in {-1, extent}
            for expected, extent in zip(spec.shape[1:], array.shape[1:], strict=True)
        )
        if tensor.datatype != spec.datatype or not fits:
            raise InvalidRequest(
                f"input '{tensor.name}': {tensor.datatype}{list(tensor.shape)} given, "
                f"{spec.datatype}{list(spec.shape)} expected, where -1 is any number"
            )
        rows, elements = len(array), prod(array.shape[1:])
        if self._pictures is None:
            return array.reshape(rows, 1, elements, 1)
        row = self.ensemble.shape or tensor.shape[1:]
        height, width = self._size(tensor.shape)
        if prod(row) != elements:
            raise InvalidRequest(
                f"input '{tensor.name}': a row of {elements} values is no picture of {list(row)}"
            )
        behind = row[2] if len(row) == 3 and self.ensemble.layout == "NHWC" else 1
        before = row[0] if len(row) == 3 and self.ensemble.layout == "NCHW" else 1
        return array.reshape(rows, before, height * width, behind)

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of the pictures in a tensor of *shape*; zeros where there are none."""
        if self._pictures is None:
            return 0, 0
        row = self.ensemble.shape or shape[1:]
        return row[self._pictures], row[self._pictures + 1]

    def _axes(self) -> int | None:
        """Where height stands in a row, with width behind it; None where no view needs it."""
        if not any(isinstance(view, Warp) for view in self.ensemble.views):
            return None
        row, shape = self.spec.shape[1:], self.ensemble.shape
        if shape:
            if len(row) != 1 or row[0] not in {-1, prod(shape)}:
                raise Misfit(
                    f"'shape' is {list(shape)}, {prod(shape)} values, but a row of input "
                    f"'{self.spec.name}' is {list(row)}; it is for flat vectors"
                )
            row = shape
        if len(row) not in {2, 3}:
            raise Misfit(
                f"a row of input '{self.spec.name}' is {list(row)}, which is no picture; a flat "
                "vector needs 'shape', such as [8, 8]"
            )
        return 1 if len(row) == 3 and self.ensemble.layout == "NCHW" else 0

    def _samplings(self, height: int, width: int) -> dict[int, Sampling]:
        """The sampling of each view that moves pixels; raises Misfit where one has no such size."""
        made_of = {}
        for place, view in enumerate(self.ensemble.views):
            if isinstance(view, Warp):
                try:
                    affine = view.affine(height, width)
                except ValueError as error:
                    raise Misfit(f"views[{place}] {view.kind}: {error}") from None
                clamp = self.ensemble.fill is None
                made_of[place] = sampling(height, width, affine, clamp=clamp)
        return made_of

    def _input(self, info: ModelInfo) -> TensorSpec:
        specs, name = {spec.name: spec for spec in info.inputs}, self.ensemble.input
        if not name and len(specs) != 1:
            raise Misfit(f"say which 'input' is meant: the model has {listed(list(specs))}")
        if name and name not in specs:
            raise Misfit(f"there is no input '{name}'; the model has {listed(list(specs))}")
        spec = specs[name] if name else info.inputs[0]
        if spec.datatype not in FLOATS | INTEGERS:
            raise Misfit(f"input '{spec.name}' is {spec.datatype}; views are made of numbers")
        return spec

    def _output(self, info: ModelInfo) -> TensorSpec:
        how = self.ensemble
        need = 1 if how.given == "values" else 2
        fits = [s for s in info.outputs if s.datatype in FLOATS and len(s.shape) >= need]
        if how.output:
            fits = [spec for spec in fits if spec.name == how.output]
        if len(fits) != 1:
            names = [spec.name for spec in info.outputs]
            wanted = f"floats of at least {need} dimensions"
            if how.output:
                raise Misfit(f"there is no output '{how.output}' of {wanted}, only {listed(names)}")
            raise Misfit(f"say which 'output' is meant, of {wanted}: there are {listed(names)}")
        return fits[0]
