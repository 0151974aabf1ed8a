# SPDX-License-Identifier: Apache-2.0
"""Recipe: how a model is written anew in another precision."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import msgspec

from gateway.lab import LabError
from gateway.lab.quantize.source import DYNAMIC, MULTIPLIES, Proto, needed

if TYPE_CHECKING:
    from gateway.lab.dataset import Dataset
    from gateway.lab.quantize.source import Source
    from gateway.wire.tensor import Array

Precision: TypeAlias = Literal["fp32", "fp16", "int8-dynamic", "int8-static", "int8-mixed"]
Ranges: TypeAlias = Literal["minmax", "entropy", "percentile"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
RANGES: Final[tuple[Ranges, ...]] = get_args(Ranges)
CALIBRATED: Final = frozenset({"int8-static", "int8-mixed"})
_METHODS: Final[dict[Ranges, str]] = {
    "minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile",
}  # fmt: skip
# What stands between operators that multiply stays in bytes, so that nothing is converted there
# and back. A softmax is not among them: its small probabilities need the digits.
_BETWEEN: Final = (
    "Relu", "LeakyRelu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "Add", "Mul",
    "Concat", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Resize", "Pad", "Split",
)  # fmt: skip


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """*precision*, and of bytes: how ranges are found, weights scaled by channel, and their bits.

    *in_float* names operators that keep their floats.
    """

    precision: Precision
    ranges: Ranges = "minmax"
    per_channel: bool = True
    reduce_range: bool = False
    in_float: tuple[str, ...] = ()


def prepare(source: Source, directory: Path) -> Path:
    """The model of *source* as quantisation wants it, in *directory*: optimised, with shapes.

    Every operator has a name there. It is the last optimisation before quantisation; onnxruntime
    does its own when the result is loaded.
    """
    onnx = needed("onnx")
    shapes = needed("onnxruntime.quantization.shape_inference")
    file = directory / "prepared.onnx"
    with _quiet():
        try:
            # Symbolic shapes would need one more package; ONNX's own are enough for ranges.
            shapes.quant_pre_process(str(source.file), str(file), skip_symbolic_shape=True)
            model = onnx.load(str(file))
        except Exception as error:  # noqa: BLE001 - whatever the tools raise
            raise LabError(f"{source.file}: cannot be prepared: {_words(error)}") from None
    taken = {node.name for node in model.graph.node}
    for place, node in enumerate(model.graph.node):
        if not node.name:
            node.name = f"{node.op_type}_{place}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)
    onnx.save(model, str(file))
    return file


def multipliers(file: Path) -> list[tuple[str, str]]:
    """Name and operator of what in the prepared *file* is quantised for its weights."""
    model = needed("onnx").load(str(file), load_external_data=False)
    return [
        (node.name, node.op_type)
        for node in model.graph.node
        if node.op_type in MULTIPLIES
    ]  # fmt: skip


def write(
    recipe: Recipe, prepared: Path, to: Path, *, dataset: Dataset | None, places: Array | None,
    ranges_file: Path | None = None, only: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Write the model *prepared* to the file *to* by *recipe*; raises LabError.

    The rows at *places* of *dataset* calibrate it where the recipe needs that; *ranges_file* keeps
    what they said for the next time. *only*: quantise no other operators than these.
    """
    if recipe.precision in CALIBRATED and (dataset is None or places is None):
        raise LabError(f"precision {recipe.precision} is calibrated by rows; give --data FILE.npz")
    with _quiet():
        try:
            if recipe.precision == "fp16":
                _halves(prepared, to)
            elif recipe.precision == "int8-dynamic":
                _dynamic(recipe, prepared, to)
            else:
                reader = None
                if ranges_file is None or not ranges_file.exists():
                    reader = _reader(dataset, places)
                _static(recipe, prepared, to, reader, ranges_file=ranges_file, only=only)
        except LabError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the tools raise
            raise LabError(
                f"{recipe.precision}: onnxruntime's tools cannot make it: {_words(error)}"
            ) from None


def _halves(prepared: Path, to: Path) -> None:
    onnx = needed("onnx")
    converter = needed("onnxruntime.transformers.float16")
    # Clients go on sending and getting floats.
    made = converter.convert_float_to_float16(
        onnx.load(str(prepared)), keep_io_types=True, disable_shape_infer=True
    )
    onnx.save(made, str(to))


def _dynamic(recipe: Recipe, prepared: Path, to: Path) -> None:
    quantization = needed("onnxruntime.quantization")
    quantization.quantize_dynamic(
        str(prepared),
        str(to),
        op_types_to_quantize=sorted(DYNAMIC),
        per_channel=recipe.per_channel,
        reduce_range=recipe.reduce_range,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=list(recipe.in_float),
    )


def _static(
    recipe: Recipe, prepared: Path, to: Path, reader: Any, *,  # noqa: ANN401 - of an extra
    ranges_file: Path | None, only: Sequence[str] | None,
) -> None:  # fmt: skip
    quantization = needed("onnxruntime.quantization")
    quantization.quantize_static(
        str(prepared),
        str(to),
        reader,
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=[*sorted(MULTIPLIES), *_BETWEEN],
        per_channel=recipe.per_channel,
        reduce_range=recipe.reduce_range,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_quantize=None if only is None else list(only),
        nodes_to_exclude=list(recipe.in_float),
        calibrate_method=getattr(quantization.CalibrationMethod, _METHODS[recipe.ranges]),
        calibration_cache_path=None if ranges_file is None else str(ranges_file),
    )


def _reader(dataset: Dataset | None, places: Array | None) -> Any:  # noqa: ANN401 - of an extra
    quantization = needed("onnxruntime.quantization")
    if dataset is None or places is None:
        return None
    rows: Proto = feeds(dataset, places)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]  # an extra
        """The rows, batch by batch."""

        def get_next(self) -> dict[str, Array] | None:
            return next(rows, None)

    return Reader()


def feeds(dataset: Dataset, places: Array) -> Iterator[dict[str, Array]]:
    """The inputs of the rows at *places*, batch by batch, all of one size.

    Histograms of a tensor are made of its values in all batches, as one array.
    """
    most = min(dataset.rows, len(places))
    size = next(size for size in range(most, 0, -1) if not len(places) % size)
    for start in range(0, len(places), size):
        part = places[start : start + size]
        feed = {spec.name: dataset.inputs[spec.name][part] for spec in dataset.specs}
        yield {name: array[0] if dataset.bare else array for name, array in feed.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the tools print, and their advice, which is about what is done here anyway."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)


def _words(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300]
