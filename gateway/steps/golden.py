# SPDX-License-Identifier: Apache-2.0
"""Golden vectors: inputs with what the steps must make of them, as an ``.npz`` file keeps them.

The arrays of a file are ``input.NAME``, what a client sends, and ``tensor.NAME``, what the model
must get of it; or ``output.NAME``, what a model gave, and ``answer.NAME``, what the client must
get of it; or all four. Strings are Unicode arrays, or a buffer of v2's BYTES as UINT8 beside
``….NAME:shape``.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from gateway.errors import ConfigError, GatewayError
from gateway.steps.flow import bind_inputs, bind_outputs, client_info
from gateway.wire.tensor import NUMPY, Array, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.steps.step import InputStep, Kernel, OutputStep, Rewiring, Tensors
    from gateway.wire.model import ModelInfo, TensorSpec

MAX_BYTES: Final = 256 << 20
# Both ends of each direction: what goes in, what must come out.
_INPUTS: Final = ("input", "tensor")
_OUTPUTS: Final = ("output", "answer")
_SHOWN: Final = 20


class Golden(msgspec.Struct, frozen=True, eq=False):
    """The *arrays* of the file at *path*."""

    path: str
    arrays: dict[str, Array]

    def faults(
        self,
        info: ModelInfo,
        preprocess: Sequence[InputStep | Rewiring],
        postprocess: Sequence[OutputStep],
        *,
        rtol: float = 1e-6,
        atol: float = 1e-6,
    ) -> list[str]:
        """Where the steps around the model of *info* do not give what they must, in words.

        Numbers may differ by *atol* and by *rtol* times what is expected; all else must be equal.
        """
        client = client_info(info, preprocess, postprocess)
        rounds: list[tuple[tuple[str, str], Kernel, Sequence[TensorSpec], Sequence[TensorSpec]]]
        rounds = [
            (_INPUTS, bind_inputs(info, preprocess), client.inputs, info.inputs),
            (_OUTPUTS, bind_outputs(info, postprocess), info.outputs, client.outputs),
        ]
        found: list[str] = []
        checked = False
        for (source, result), kernel, given, made in rounds:
            if not self._has(source) and not self._has(result):
                continue
            checked = True
            try:
                sent = tuple([self._tensor(source, spec) for spec in given])
                wanted = [self._tensor(result, spec) for spec in made]
                with np.errstate(all="ignore"):
                    got = {tensor.name: tensor for tensor in kernel(sent)}
            except (GatewayError, _Unfit) as error:
                found.append(f"{self.path}: {error}")
                continue
            for tensor in wanted:
                found += [
                    f"{self.path}: {result} {fault}"
                    for fault in differences(tensor, got[tensor.name], rtol=rtol, atol=atol)
                ]
        if not checked:
            found.append(
                f"{self.path}: no arrays input.NAME and tensor.NAME, or output.NAME and "
                f"answer.NAME; there are {', '.join(self.arrays) or 'none'}"
            )
        return found[:_SHOWN]

    def _has(self, kind: str) -> bool:
        return any(name.startswith(f"{kind}.") for name in self.arrays)

    def _tensor(self, kind: str, spec: TensorSpec) -> Tensor:
        """The array for *spec*; raises _Unfit where there is none or it has another type."""
        name = f"{kind}.{spec.name}"
        array = self.arrays.get(name)
        if array is None:
            raise _Unfit(f"no array '{name}'; expected {spec.datatype}{list(spec.shape)}")
        shape = self.arrays.get(f"{name}:shape")
        if spec.datatype == "BYTES" and shape is not None and array.dtype == np.uint8:
            extents = tuple(int(extent) for extent in shape.reshape(-1))
            return _fitting(kind, Tensor(spec.name, "BYTES", extents, array.tobytes()), spec)
        wanted = NUMPY[spec.datatype]
        fits = array.dtype.kind in "US" if spec.datatype == "BYTES" else array.dtype == wanted
        if not fits:
            raise _Unfit(f"array '{name}' is {array.dtype}, but {kind} is {spec.datatype}")
        datatype = None if spec.datatype == "BYTES" else spec.datatype
        tensor = Tensor.of(spec.name, np.ascontiguousarray(array), datatype=datatype)
        return _fitting(kind, tensor, spec)


class _Unfit(Exception):
    """An array is missing or of another type than the model has."""


def _fitting(kind: str, tensor: Tensor, spec: TensorSpec) -> Tensor:
    """*tensor*, if its shape is one of *spec*; raises _Unfit."""
    shape = tensor.shape
    if len(shape) != len(spec.shape) or any(
        wanted not in {-1, extent} for wanted, extent in zip(spec.shape, shape, strict=True)
    ):
        raise _Unfit(
            f"array '{kind}.{spec.name}' has shape {list(shape)}, but {kind} is "
            f"{spec.datatype}{list(spec.shape)}"
        )
    return tensor


def differences(expected: Tensor, got: Tensor, *, rtol: float, atol: float) -> list[str]:
    """What is wrong with *got*, in at most one sentence, which names the first such row."""
    name = expected.name
    if expected.shape != got.shape or expected.datatype != got.datatype:
        forms = [f"{each.datatype}{list(each.shape)}" for each in (expected, got)]
        return [f"'{name}': expected {forms[0]}, got {forms[1]}"]
    wanted, came = expected.array(), got.array()
    if wanted.dtype.kind == "f":
        wide, other = wanted.astype(np.float64), came.astype(np.float64)
        with np.errstate(all="ignore"):
            near = np.isclose(other, wide, rtol=rtol, atol=atol, equal_nan=True)
        told = f", tolerance {atol:g} + {rtol:g} x expected"
    else:
        near, told = wanted == came, ""
    if near.all():
        return []
    place = tuple(int(index) for index in np.argwhere(~near)[0]) if wanted.ndim else ()
    row = f", row {place[0]}" if place else ""
    at = f", element {list(place[1:])}" if place[1:] else ""
    values = f"expected {_shown(wanted[place])}, got {_shown(came[place])}{told}"
    count = f"({np.count_nonzero(~near)} of {wanted.size} values differ)"
    return [f"'{name}'{row}{at}: {values} {count}"]


def read_golden(path: str) -> Golden:
    """The golden vectors in the file at *path*; raises ConfigError where there are none."""
    try:
        size = Path(path).stat().st_size
        if size > MAX_BYTES:
            raise ConfigError([f"{path}: larger than {MAX_BYTES >> 20} MiB"])
        with Path(path).open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ConfigError([f"{path}: one array without a name; expected an .npz archive"])
            return Golden(path, {name: archive[name] for name in archive.files})
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or 'cannot be read as .npz'}"]) from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError([f"{path}: cannot be read as .npz: {error}"]) from None


def write_golden(path: str, inputs: Tensors, kernel: Kernel) -> tuple[Tensor, ...]:
    """Write *inputs* and what *kernel* makes of them to *path*, and give that; raises OSError."""
    tensors = kernel(inputs)
    arrays: dict[str, Array] = {}
    for kind, group in zip(_INPUTS, (inputs, tensors), strict=True):
        arrays |= dict(_arrays(kind, group))
    with Path(path).open("wb") as file:
        save: Any = np.savez_compressed  # its stub takes a name of an array for an option
        save(file, **arrays)
    return tensors


def _arrays(kind: str, tensors: Tensors) -> Iterable[tuple[str, Array]]:
    for tensor in tensors:
        name = f"{kind}.{tensor.name}"
        if tensor.datatype == "BYTES":
            yield name, np.frombuffer(tensor.data, np.uint8)
            yield f"{name}:shape", np.asarray(tensor.shape, np.int64)
        else:
            yield name, tensor.array()


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, bytes) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
