# SPDX-License-Identifier: Apache-2.0
"""Tokenize: one text a row becomes the token ids, mask and types that a language model takes.

The tokenizer is the one that the model was trained with, read from its ``tokenizer.json`` or made
of a WordPiece vocabulary; the library is `tokenizers`, which releases the interpreter at work.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import msgspec

from gateway.errors import InvalidRequest
from gateway.steps.files import content
from gateway.steps.padding import padded, places, width
from gateway.steps.step import Kernel, Misfit, Tensors, buffer, listed
from gateway.steps.strings import MAX_BYTES, Bound, texts
from gateway.steps.tokenizer import Rules, Tokenizer, from_json, from_vocabulary, tokens
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import NUMPY, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST: Final = 1 << 16
# What the model's inputs of one request may take.
_MAX_BYTES: Final = 256 << 20

Name = Annotated[str, msgspec.Meta(min_length=1)]


class Tokenize(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts to `input_ids`, `attention_mask` and `token_type_ids`, those that the model has."""

    kind: ClassVar[str] = "tokenize"
    # About 0.3 µs a byte.
    inline_bytes: ClassVar[int] = 2 << 10
    # Rows of a request are as long as its longest.
    rows_apart: ClassVar[bool] = False

    file: Annotated[
        str, msgspec.Meta(description="The model's tokenizer.json; either this or 'vocabulary'.")
    ] = ""
    vocabulary: Annotated[
        str,
        msgspec.Meta(description="The vocabulary of a WordPiece model (BERT), one token a line."),
    ] = ""
    lowercase: Annotated[
        bool,
        msgspec.Meta(
            description="Read only with 'vocabulary': whether the model is uncased; accents are "
            "dropped then, too."
        ),
    ] = True
    max_length: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=_LONGEST,
            description="The most tokens of a row, special ones counted. 0: as many as the model's "
            "input has, else what tokenizer.json says, else 512. Danger: above what the model was "
            "trained for it fails, or is quietly wrong.",
        ),
    ] = 0
    overlong: Annotated[
        Literal["truncate", "refuse"],
        msgspec.Meta(description="What is done with a row of more tokens: cut off, or 400."),
    ] = "truncate"
    truncation_side: Annotated[
        Literal["right", "left"], msgspec.Meta(description="Where a row is cut off.")
    ] = "right"
    special_tokens: Annotated[
        bool, msgspec.Meta(description="Whether the model's special tokens ([CLS], [SEP]) are set.")
    ] = True
    padding: Annotated[
        Literal["longest", "fixed"],
        msgspec.Meta(
            description="longest: the rows of a request are padded to the longest of them, rounded "
            "up to multiple_of. fixed: to max_length. An input of a fixed length is padded to it."
        ),
    ] = "longest"
    multiple_of: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=1024,
            description="The step in which lengths grow. Requests of one length share batches: a "
            "larger step means more sharing, and more padding to compute.",
        ),
    ] = 8
    padding_side: Annotated[
        Literal["right", "left"], msgspec.Meta(description="Where a row is filled up.")
    ] = "right"
    pad_token: Annotated[
        str,
        msgspec.Meta(description="The padding token; empty: as tokenizer.json says, else [PAD]."),
    ] = ""
    text: Annotated[Name, msgspec.Meta(description="Name of the input that clients send.")] = "text"
    ids: Annotated[Name, msgspec.Meta(description="The model's input of token ids.")] = "input_ids"
    mask: Annotated[
        Name, msgspec.Meta(description="Its input that is 1 for tokens and 0 for padding, if any.")
    ] = "attention_mask"
    types: Annotated[
        Name, msgspec.Meta(description="Its input of segment numbers, if it has one.")
    ] = "token_type_ids"
    max_bytes: Bound = MAX_BYTES

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.vocabulary):
            raise ValueError("give either 'file', a tokenizer.json, or 'vocabulary'")
        names = [self.ids, self.mask, self.types]
        if len(set(names)) != len(names):
            raise ValueError("ids, mask and types must be different inputs")

    def faults(self) -> Iterable[tuple[str, str]]:
        """A file that is missing or is no tokenizer, a missing package."""
        try:
            self._load(self.max_length)
        except Misfit as error:
            yield "file" if self.file else "vocabulary", str(error)

    def recipe(self) -> bytes:
        """The fields and the content of the file."""
        return msgspec.msgpack.encode(
            (self, sha256(content(self.file or self.vocabulary)).digest())
        )

    def before(self, info: ModelInfo) -> ModelInfo:
        """One BYTES input in the place of the model's ids, mask and types; raises Misfit."""
        _length(self._filled(info))
        names = {self.ids, self.mask, self.types}
        kept = tuple(spec for spec in info.inputs if spec.name not in names)
        if any(spec.name == self.text for spec in kept):
            raise Misfit(f"there is an input '{self.text}' already; choose another 'text'")
        text = TensorSpec(self.text, "BYTES", (-1,))
        return msgspec.structs.replace(info, inputs=(text, *kept))

    def bind_to(self, info: ModelInfo) -> Kernel:
        """The kernel: one call of the tokenizer for all rows, padded to one width."""
        specs = self._filled(info)
        length = _length(specs)
        tokenizer = self._load(self.max_length or length)
        if length and tokenizer.max_length > length:
            raise Misfit(f"max_length is {tokenizer.max_length}, but '{self.ids}' has {length}")
        fixed = length or (tokenizer.max_length if self.padding == "fixed" else 0)
        name, most_bytes, most = self.text, self.max_bytes, tokenizer.max_length
        mask, types = self.mask, self.types
        multiple_of, left = self.multiple_of, self.padding_side == "left"

        def tokenize(tensors: Tensors) -> Tensors:
            given = next((tensor for tensor in tensors if tensor.name == name), None)
            if given is None or given.datatype != "BYTES" or len(given.shape) != 1:
                came = "none" if given is None else f"{given.datatype}{list(given.shape)}"
                raise InvalidRequest(
                    f"input '{name}': {came} given, BYTES of shape [-1] expected, one text a row"
                )
            rows = texts(given, max_bytes=most_bytes)
            least = fixed or width(1, multiple_of=multiple_of, most=most)
            _bound(name, len(rows), least * len(specs))
            ids, segments, lengths = tokens(tokenizer, rows, name)
            longest = max(lengths, default=0)
            columns = fixed or width(longest, multiple_of=multiple_of, most=most)
            _bound(name, len(rows), columns * len(specs))
            there = places(lengths, columns, left=left)
            made = []
            for spec in specs:
                dtype = NUMPY[spec.datatype]
                if spec.name == mask:
                    array = there.astype(dtype)
                elif spec.name == types:
                    array = padded(segments, there, fill=tokenizer.pad_type, dtype=dtype)
                else:
                    array = padded(ids, there, fill=tokenizer.pad, dtype=dtype)
                made.append(
                    Tensor(spec.name, spec.datatype, there.shape, buffer(array.reshape(-1)))
                )
            return (*made, *[tensor for tensor in tensors if tensor.name != name])

        return tokenize

    def _filled(self, info: ModelInfo) -> list[TensorSpec]:
        """The model's inputs that are made of the text; raises Misfit."""
        if not info.batched:
            raise Misfit("the model has no batch dimension, and tokenize makes rows of a batch")
        names = [spec.name for spec in info.inputs]
        if self.ids not in names:
            raise Misfit(
                f"there is no input '{self.ids}' for the ids; the model has {listed(names)}"
            )
        filled = [spec for spec in info.inputs if spec.name in {self.ids, self.mask, self.types}]
        for spec in filled:
            if spec.datatype not in {"INT64", "INT32"} or len(spec.shape) != 2:
                raise Misfit(
                    f"input '{spec.name}' is {spec.datatype}{list(spec.shape)} here; expected "
                    "INT64 or INT32 of [-1, -1]"
                )
        return filled

    def _load(self, max_length: int) -> Tokenizer:
        rules = Rules(
            max_length=max_length,
            truncate=self.overlong == "truncate",
            truncation_side=self.truncation_side,
            special_tokens=self.special_tokens,
            pad_token=self.pad_token,
        )
        if self.file:
            return from_json(content(self.file), rules)
        return from_vocabulary(content(self.vocabulary), rules, lowercase=self.lowercase)


def _bound(name: str, rows: int, numbers: int) -> None:
    """Raise InvalidRequest where *rows* of so many *numbers* each would take too much memory."""
    if rows * numbers * 8 > _MAX_BYTES:
        raise InvalidRequest(
            f"input '{name}': {rows} rows of {numbers} numbers each are too many; at most "
            f"{_MAX_BYTES // numbers // 8} such rows are taken"
        )


def _length(specs: list[TensorSpec]) -> int:
    """How many tokens the inputs have, 0 for any number; raises Misfit where they disagree."""
    lengths = {spec.shape[1] for spec in specs} - {-1}
    if len(lengths) > 1:
        raise Misfit(f"its inputs are {' and '.join(map(str, sorted(lengths)))} tokens long")
    return lengths.pop() if lengths else 0
