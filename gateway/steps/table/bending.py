# SPDX-License-Identifier: Apache-2.0
"""Operations that bend: logarithm, power and quantile transforms, as scikit-learn computes them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
import numpy as np

from gateway.steps.step import Misfit
from gateway.steps.table.operation import Change, Elementwise, upright
from gateway.steps.table.plan import Place, refuse
from gateway.steps.table.scaling import centered
from gateway.wire.tensor import Array

# How near to the ends of a normal distribution's range QuantileTransformer goes.
_BORDER: Final = 1e-7
_NORMAL: Final = NormalDist()
# As near to 0 as an exponent may be before the limit of the formula is taken.
_FLAT: Final = float(np.spacing(1.0))


class Powers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The exponent of each column, and the moments of what comes out where it is standardized."""

    lambdas: tuple[float, ...]
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()


class Quantiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The values of each column at the probabilities *references*, rising."""

    references: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]


class Log1p(Elementwise, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``log(1 + x)``; refuses what is not above -1."""

    kind: ClassVar[str] = "log1p"

    def change(self, places: Sequence[Place], learnt: Any) -> Change:  # noqa: ANN401, ARG002
        """A comparison and a logarithm."""
        names = [place.name for place in places]

        def log1p(values: Array) -> Array:
            outside = values <= -1
            if outside.any():
                raise refuse(outside, values, names, "expected a number above -1")
            made: Array = np.log1p(values)
            return made

        return log1p


class Power(Elementwise, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Box-Cox or Yeo-Johnson with learnt exponents, as PowerTransformer."""

    kind: ClassVar[str] = "power"
    learns: ClassVar[type[msgspec.Struct] | None] = Powers

    method: Annotated[
        Literal["yeo_johnson", "box_cox"],
        msgspec.Meta(description="box_cox is for numbers above 0 and refuses others."),
    ] = "yeo_johnson"
    standardize: Annotated[
        bool, msgspec.Meta(description="Whether mean 0 and variance 1 are made of the result.")
    ] = True

    def change(self, places: Sequence[Place], learnt: Any) -> Change:  # noqa: ANN401 - Powers
        """The transform of all columns at once, then a subtraction and a division."""
        count = len(places)
        lambdas = upright(learnt.lambdas, count, "lambdas")
        names = [place.name for place in places]
        if not self.standardize:
            finish: Change = centered(None, None)
        else:
            center = upright(learnt.center, count, "center")
            finish = centered(center, upright(learnt.scale, count, "scale"))

        def box_cox(values: Array) -> Array:
            outside = values <= 0
            if outside.any():
                raise refuse(outside, values, names, "expected a number above 0")
            return finish(_curve(np.log(values), lambdas))

        def yeo_johnson(values: Array) -> Array:
            # Below 0 it is the same curve with the exponent 2 - lambda, turned by half a circle.
            exponents = np.where(values < 0, 2 - lambdas, lambdas)
            made = _curve(np.log1p(np.abs(values)), exponents)
            return finish(np.copysign(made, values, out=made))

        return box_cox if self.method == "box_cox" else yeo_johnson


class Quantile(Elementwise, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The place among the training data, uniform or normally distributed: QuantileTransformer."""

    kind: ClassVar[str] = "quantile"
    learns: ClassVar[type[msgspec.Struct] | None] = Quantiles

    quantiles: Annotated[
        int, msgspec.Meta(ge=2, le=10_000, description="How many are learnt at most.")
    ] = 1000
    distribution: Annotated[
        Literal["uniform", "normal"], msgspec.Meta(description="Distribution of the result.")
    ] = "uniform"

    def change(self, places: Sequence[Place], learnt: Any) -> Change:  # noqa: ANN401 - Quantiles
        """Two interpolations for each column; their mean is right where values repeat."""
        if len(learnt.quantiles) != len(places):
            raise Misfit(f"quantiles has {len(learnt.quantiles)} lists for {len(places)} columns")
        references = np.array(learnt.references)
        curves = []
        for quantiles in learnt.quantiles:
            if len(quantiles) != len(references):
                raise Misfit(f"{len(quantiles)} quantiles for {len(references)} references")
            if any(b < a for a, b in pairwise(quantiles)):
                raise Misfit("quantiles must rise")
            curves.append(np.array(quantiles))
        normal = self.distribution == "normal"
        margin = _BORDER if normal else 0.0

        def placed(values: Array) -> Array:
            made = np.empty_like(values)
            for row, curve in enumerate(curves):
                x = values[row]
                y = made[row]
                y[:] = 0.5 * (
                    np.interp(x, curve, references) - np.interp(-x, -curve[::-1], -references[::-1])
                )
                # In this order: where all quantiles are one number, it is the lowest.
                y[x + margin > curve[-1] if normal else x == curve[-1]] = 1.0
                y[x - margin < curve[0] if normal else x == curve[0]] = 0.0
            return _normal(made) if normal else made

        return placed


def _curve(logs: Array, exponents: Array) -> Array:
    """``(e^(exponent * log) - 1) / exponent``, the logarithm itself at exponent 0."""
    flat = np.abs(exponents) < _FLAT
    safe = np.where(flat, 1.0, exponents)
    made: Array = np.where(flat, logs, np.expm1(safe * logs) / safe)
    return made


def _normal(probabilities: Array) -> Array:
    """The normal distribution's quantiles, those at the very ends drawn in by `_BORDER`."""
    low, high = _BORDER - _FLAT, 1 - (_BORDER - _FLAT)
    inverse = _NORMAL.inv_cdf
    bounded = np.clip(probabilities, low, high)
    made = [inverse(p) if p == p else p for p in bounded.ravel().tolist()]  # noqa: PLR0124 - NaN
    return np.array(made, np.float64).reshape(probabilities.shape)
