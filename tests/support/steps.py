# SPDX-License-Identifier: Apache-2.0
"""Every step in several settings, each with a model that it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

from gateway.lab.export import export
from gateway.steps import POSTPROCESS, PREPROCESS, InputStep, OutputStep, Rewiring
from gateway.steps.table.step import TableStep
from gateway.wire.model import ModelInfo, TensorSpec
from tests.support.pictures import exif, image, jpeg, saved
from tests.support.tables import learnt, operation, table_step
from tests.support.texts import CORPUS, FILES, scaler, text, tokenizer_json, vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = ("a", "b", "c", "d", "e", "f")


def model(
    *,
    inputs: tuple[TensorSpec, ...] = (TensorSpec("x", "FP32", (-1, 6)),),
    outputs: tuple[TensorSpec, ...] = (TensorSpec("y", "FP32", (-1, 6)),),
    batched: bool = True,
    labels: dict[str, tuple[str, ...]] | None = None,
) -> ModelInfo:
    """A model as a worker would describe it."""
    return ModelInfo(
        "m", "1", "onnxruntime", "0" * 64, inputs, outputs, batched=batched, labels=labels or {}
    )


def takes(datatype: str, *shape: int) -> ModelInfo:
    """A model with the one input ``x``."""
    return model(inputs=(TensorSpec("x", datatype, shape),), batched=shape[0] == -1)


def gives(datatype: str, *shape: int, labels: tuple[str, ...] = ()) -> ModelInfo:
    """A model with the one output ``y``."""
    return model(
        outputs=(TensorSpec("y", datatype, shape),),
        batched=shape[0] == -1,
        labels={"y": labels} if labels else {},
    )


def input_step(name: str, /, **fields: Any) -> InputStep | Rewiring:
    """A preprocess step as a configuration makes it."""
    step: InputStep | Rewiring = msgspec.convert(fields, PREPROCESS[name])
    return step


def output_step(name: str, /, **fields: Any) -> OutputStep:
    """A postprocess step as a configuration makes it."""
    step: OutputStep = msgspec.convert(fields, POSTPROCESS[name])
    return step


class Case(NamedTuple):
    """A *step* and a model, as its worker describes it, that the step fits.

    *element* makes an element of a BYTES input that the step can take, *length* is that of a free
    dimension behind the batch.
    """

    step: InputStep | Rewiring | OutputStep
    info: ModelInfo
    element: Callable[[np.random.Generator], bytes] | None = None
    length: int = 5

    def __str__(self) -> str:
        kind, spec = self.step.kind, (self.info.inputs + self.info.outputs)[0]
        return f"{kind} {spec.datatype}{list(spec.shape)}"


def language(datatype: str = "INT64", length: int = -1, *names: str) -> ModelInfo:
    """A model of token ids, with a mask and segments unless *names* say otherwise."""
    names = names or ("input_ids", "attention_mask", "token_type_ids")
    return model(
        inputs=tuple(TensorSpec(name, datatype, (-1, length)) for name in names),
        outputs=(TensorSpec("y", "FP32", (-1, length, 4)),),
    )


def vectorizer(name: str, made: Any) -> str:
    """The file of a scikit-learn vectorizer, fitted with `CORPUS`."""
    made.fit(CORPUS)
    export(made, FILES / name)
    return str(FILES / name)


def some_jpeg(rng: np.random.Generator) -> bytes:
    """A JPEG of any size and of any way up."""
    height, width = rng.integers(20, 90, 2).tolist()
    return jpeg(rng, height, width, exif=b"Exif\0\0" + exif(int(rng.integers(1, 9))))


def some_png(rng: np.random.Generator) -> bytes:
    """A PNG of any size, half transparent."""
    height, width = rng.integers(5, 40, 2).tolist()
    return saved(image(rng, height, width, "RGBA"))


_IMAGE = (-1, 3, 2, 2)
# Fixed data for what is learnt: numbers with two holes, and the two texts that the suite sends.
_TRAINING = {
    "a": np.where(np.arange(40) % 20 == 3, np.nan, np.linspace(-9, 9, 40)),
    "b": np.linspace(0.5, 20, 40) ** 2,
    "n": np.arange(40) % 2,
    "t": np.array(["0", "1"] * 20, object),
}
_COLUMNS: dict[str, dict[str, Any]] = {
    "a": {"nan": "keep", "null": "keep"}, "b": {"type": "FP32"}, "n": {"type": "INT64"},
    "t": {"type": "BYTES"},
}  # fmt: skip


def _table_cases() -> list[Case]:
    """Every operation, some by themselves and the rest one behind the other."""
    numbers = {name: _COLUMNS[name] for name in "ab"}
    alone = [
        operation("standard"), operation("min_max", clip=True), operation("robust"),
        operation("max_abs"), operation("winsorize", lower=0.1, upper=0.9),
        operation("power"), operation("quantile", distribution="normal", quantiles=9),
        operation("clip", min=-2, max=3),
        operation("scale", columns=["a", "b"], factor=[1, 2], offset=3),
        operation("cast", to="INT8"), operation("cyclical", columns=["a"], period=7),
        operation("copy", columns=["a"], to=["c"]),
    ]  # fmt: skip
    steps = [
        table_step(numbers, operation("impute", indicator=True), each, output=["a", "b"])
        for each in alone
    ]
    steps += [
        table_step(
            _COLUMNS,
            operation("impute", columns=["a"], strategy="median"),
            operation("clip", columns=["a", "b"], min=0.25),
            operation("log1p", columns=["b"]),
            operation("polynomial", columns=["a", "b"], degree=3),
            operation("bucketize", columns=["n"], edges=[0.5], encode="one_hot"),
            operation("one_hot", unknown="other"),
        ),
        table_step(_COLUMNS, operation("ordinal", unknown="value"), output=["t", "n", "b"]),
        table_step(_COLUMNS, operation("hashing", features=4), unknown="ignore"),
    ]
    cases = []
    for step in steps:
        made = learnt(step, _TRAINING) if _learns(step) else step
        plan = made.planned()
        width = len(plan.picked(made.output) if made.output else plan.places)
        cases += [Case(made, takes(datatype, -1, width)) for datatype in ("FP32", "FP64")]
    dates = table_step(
        {"t": {"type": "BYTES", "default": "2024-02-29T12:00:00+02:00", "missing": "default"}},
        operation("copy", columns=["t"], to=["u"]),
    )
    return [*cases, Case(dates, takes("BYTES", -1, 2))]


def _learns(step: TableStep) -> bool:
    return any(each.learns is not None and each.given(1) is None for each in step.operations)


INPUT_CASES = [
    Case(input_step("scale", factor=0.0625), takes("FP32", -1, 6)),
    Case(input_step("scale", factor=2, offset=-1.5), takes("FP64", -1, 2, 3)),
    Case(input_step("scale", factor=0.5, offset=1), takes("FP16", -1, 6)),
    Case(input_step("scale", factor=0.5), takes("FP32", 6)),
    Case(input_step("normalize", mean=0.5, std=0.25), takes("FP32", -1, 6)),
    Case(
        input_step("normalize", mean=[0.1, 0.2, 0.3], std=[1, 2, 4], axis=1),
        takes("FP32", *_IMAGE),
    ),
    Case(input_step("normalize", mean=[1, 2, 3, 4, 5, 6], std=2), takes("FP64", -1, 6)),
    Case(input_step("normalize", mean=[1, 2, 3], std=[2, 4, 8]), takes("FP16", -1, 2, 3)),
    Case(input_step("clip", min=-1, max=1), takes("FP32", -1, 6)),
    Case(input_step("clip", max=100), takes("UINT8", -1, 6)),
    Case(input_step("clip", min=-5), takes("INT64", -1, 6)),
    Case(input_step("cast", **{"from": "UINT8", "to": "FP32"}), takes("FP32", -1, 6)),
    Case(input_step("cast", **{"from": "FP64", "to": "FP32"}), takes("FP32", -1, 6)),
    Case(input_step("cast", **{"from": "INT64", "to": "INT8"}), takes("INT8", -1, 6)),
    Case(input_step("cast", **{"from": "FP32", "to": "BOOL"}), takes("BOOL", -1, 6)),
    Case(input_step("reshape", **{"from": [-1, 2, 3], "shape": [-1, 6]}), takes("FP32", -1, 6)),
    Case(input_step("reshape", **{"from": [6], "shape": [2, 3]}), takes("INT16", 2, 3)),
    Case(
        input_step("clean_text", unicode="NFKC", strip_accents=True, case="fold"),
        takes("BYTES", -1),
        text,
    ),
    Case(
        input_step(
            "clean_text",
            case="lower",
            replace=[{"pattern": r"\d+", "with": "<0>"}, {"pattern": "(a)(b)", "with": r"\2\1"}],
            whitespace="collapse",
        ),
        takes("BYTES", -1, 2),
        text,
    ),
    Case(input_step("tokenize", vocabulary=vocabulary()), language(), text),
    Case(
        input_step("tokenize", vocabulary=vocabulary(), lowercase=False, padding="fixed"),
        language("INT32", -1, "input_ids"),
        text,
    ),
    Case(
        input_step("tokenize", file=tokenizer_json(), multiple_of=16, padding_side="left"),
        language("INT64", -1, "attention_mask", "input_ids"),
        text,
    ),
    Case(
        input_step("tokenize", file=tokenizer_json(), special_tokens=False, pad_token="<pad>"),
        language("INT64", 24),
        text,
    ),
    Case(
        input_step("vectorize", file=vectorizer("tfidf.json", TfidfVectorizer())),
        takes("FP32", -1, -1),
        text,
    ),
    Case(
        input_step(
            "vectorize",
            file=vectorizer(
                "hashing.json",
                HashingVectorizer(n_features=64, analyzer="char_wb", ngram_range=(2, 4)),
            ),
        ),
        takes("FP64", -1, 64),
        text,
    ),
    Case(input_step("onnx", file=scaler()), takes("FP32", -1, 6)),
    Case(input_step("window", size=4), takes("FP32", -1, -1, 4), length=17),
    Case(
        input_step("window", size=8, hop=3, last="pad", pad_value=-1),
        takes("FP64", -1, 2, -1, 8),
        length=40,
    ),
    Case(
        input_step("rolling", window=4, statistics=["mean", "std", "min", "max"], edge="drop"),
        takes("FP64", -1, 30, 4),
    ),
    Case(
        input_step("rolling", window=3, statistics=["max", "mean"], min_periods=1),
        takes("FP32", -1, -1, 2),
        length=20,
    ),
    Case(input_step("resample", **{"from": 44100, "to": 16000}), takes("FP32", -1, 160)),
    Case(
        input_step("resample", **{"from": 8000, "to": 48000}), takes("FP64", -1, 2, -1), length=30
    ),
    Case(input_step("fft_magnitude", size=32, taper="hann"), takes("FP32", -1, 17)),
    Case(input_step("fft_magnitude", size=15, of="power"), takes("FP64", -1, 3, -1)),
    Case(input_step("log_mel", n_fft=64, hop=16, bands=10), takes("FP32", -1, 10, -1), length=300),
    Case(
        input_step("log_mel", n_fft=64, hop=32, bands=8, log="whisper", layout="frames_first"),
        takes("FP64", -1, -1, 8),
        length=401,
    ),
    Case(input_step("normalize_row"), takes("FP32", -1, 300)),
    Case(input_step("normalize_row", by="peak", over="last"), takes("FP64", -1, 3, 50)),
    Case(input_step("normalize_row", by="min_max"), takes("FP16", 40)),
    *_table_cases(),
    Case(
        input_step("image", resize={"shorter": 36}, crop=32, normalize="imagenet"),
        takes("FP32", -1, 3, 32, 32),
        some_jpeg,
    ),
    Case(
        input_step(
            "image",
            library="opencv",
            color="bgr",
            alpha="white",
            layout="nhwc",
            resize={"letterbox": [24, 32], "filter": "area"},
            normalize="none",
        ),
        takes("UINT8", -1, 24, 32, 3),
        some_png,
    ),
    Case(
        input_step("image", color="gray", resize={"exact": 8}, normalize="custom", scale=1 / 16),
        takes("FP64", -1, 1, 8, 8),
        some_png,
    ),
    Case(
        input_step("image", resize={"exact": 16}, jpeg_scaling=True, normalize="clip"),
        takes("FP16", -1, 3, 16, 16),
        some_jpeg,
    ),
]
BOXES = model(
    outputs=(TensorSpec("b", "FP32", (-1, 8, 4)), TensorSpec("s", "FP32", (-1, 8, 3))),
    labels={"s": ("cat", "dog", "bird")},
)
OUTPUT_CASES = [
    Case(output_step("argmax"), gives("FP32", -1, 6, labels=LABELS)),
    Case(output_step("argmax", name="best", axis=1), gives("FP16", *_IMAGE)),
    Case(output_step("argmax"), gives("FP64", 6)),
    Case(output_step("softmax"), gives("FP32", -1, 6)),
    Case(output_step("softmax", axis=1), gives("FP32", *_IMAGE)),
    Case(output_step("softmax"), gives("FP16", -1, 11)),
    Case(output_step("softmax"), gives("FP64", -1, 3, 2)),
    Case(output_step("top_k", k=3), gives("FP32", -1, 6, labels=LABELS)),
    Case(output_step("top_k", k=1, indices="which"), gives("FP64", -1, 2, 3)),
    Case(output_step("pool"), language(length=7)),
    Case(output_step("pool", by="max", name="vector"), language("INT32", 7)),
    Case(output_step("pool", by="cls", mask=""), gives("FP16", -1, 3, 4)),
    Case(output_step("l2_normalize"), gives("FP32", -1, 300)),
    Case(output_step("labels"), gives("INT64", -1, labels=LABELS)),
    Case(output_step("labels", names=["no", "yes"], name="word"), gives("UINT8", -1, 2)),
    Case(output_step("labels", names=["no", "yes"], padding="none"), gives("INT64", -1, 2)),
    Case(output_step("sigmoid"), gives("FP32", -1, 6)),
    Case(output_step("sigmoid", name="p"), gives("FP16", -1)),
    Case(output_step("threshold", at=0.5), gives("FP32", -1, 6)),
    Case(output_step("threshold", at=[0, 0.5, 1], name="yes"), gives("FP16", -1, 3)),
    Case(output_step("threshold", at=0.25, column=1), gives("FP64", -1, 2)),
    Case(output_step("calibrate", temperature=1.5), gives("FP32", -1, 6)),
    Case(output_step("calibrate", temperature=0.5, name="p"), gives("FP16", -1, 3)),
    Case(output_step("inverse_scale", mean=3, scale=[1, 2, 4]), gives("FP32", -1, 3)),
    Case(output_step("inverse_scale", scale=0.5, log="log1p", name="euro"), gives("FP64", -1)),
    Case(output_step("detections", boxes="b", scores="s", max=3, min_score=0, iou=0.1), BOXES),
    Case(
        output_step("detections", boxes="y", form="cxcywh", max=4, min_score=0),
        gives("FP32", -1, 9, 7),
    ),
    Case(
        output_step(
            "detections",
            boxes="y",
            form="xywh",
            transposed=True,
            objectness=True,
            max=2,
            min_score=0,
            per_class=False,
            candidates=5,
        ),
        gives("FP16", -1, 7, 9),
    ),
    Case(output_step("select", outputs=["s"]), BOXES),
    Case(output_step("rename", outputs={"b": "boxes", "s": "b"}), BOXES),
]
