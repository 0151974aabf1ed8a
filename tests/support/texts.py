# SPDX-License-Identifier: Apache-2.0
"""Texts, and the files that steps on text read: vocabularies, tokenizers, vectorizers, graphs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS: Final = (
    "gate", "way", "##way", "batch", "##es", "queue", "the", "a", "model", "##s", "answer", "é",
    "of", "text", ".", ",", "!", "字", "cafe", "naive",
)  # fmt: skip
VOCABULARY: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
CORPUS: Final = (
    "The gateway batches requests, and the queue is short.",
    "A model answers; an answer is cached.",
    "Café and naïve: accents of text, of texts.",
    "Batches of batches of batches!",
    "Requests wait in the queue of the gateway.",
)

# Removed when the interpreter ends; cases refer to what is in it from their import on.
_DIRECTORY: Final = TemporaryDirectory(prefix="infergate-texts-")
FILES: Final = Path(_DIRECTORY.name)


def text(rng: np.random.Generator) -> bytes:
    """A text of up to forty words, some of them of no vocabulary."""
    words = [*WORDS, "Zürich", "x" * 120, "\u0301", "straße", "\u00a0", "12,5", "[SEP]", "\0"]
    return " ".join(rng.choice(words, rng.integers(0, 40)).tolist()).encode()


def written(name: str, content: str | bytes) -> str:
    """The path of a file *name* with *content*, which is there until the interpreter ends."""
    path = FILES / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def vocabulary(words: Sequence[str] = VOCABULARY, *, name: str = "vocabulary.txt") -> str:
    """A vocabulary file."""
    return written(name, "\n".join(words) + "\n")


def tokenizer_json(*, name: str = "tokenizer.json", **truncation: Any) -> str:
    """A byte-level BPE tokenizer, trained on `CORPUS`, as ``tokenizer.json``."""
    import tokenizers  # noqa: PLC0415 - an extra

    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    if truncation:
        made.enable_truncation(**truncation)
    return written(name, made.to_str())


def scaler(*, name: str = "scaler.onnx", columns: int = 6) -> str:
    """A graph of one input and one output, both FP32 of ``[-1, columns]``: ``x = 2 raw - 1``."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["raw", "two"], ["twice"]),
            helper.make_node("Sub", ["twice", "one"], ["x"]),
        ],
        "scaler",
        [helper.make_tensor_value_info("raw", TensorProto.FLOAT, ["rows", columns])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", columns])],
        [
            numpy_helper.from_array(np.array(2, np.float32), "two"),
            numpy_helper.from_array(np.array(1, np.float32), "one"),
        ],
    )
    return written(name, _model(graph))


def number_of_text(*, name: str = "number.onnx") -> str:
    """A graph from BYTES of ``[-1, 1]`` to FP32 of ``[-1, 1]``: the numbers that the texts are."""
    graph = helper.make_graph(
        [helper.make_node("Cast", ["number"], ["x"], to=TensorProto.FLOAT)],
        "number",
        [helper.make_tensor_value_info("number", TensorProto.STRING, ["rows", 1])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1])],
    )
    return written(name, _model(graph))


def _model(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    made: bytes = model.SerializeToString(deterministic=True)
    return made
