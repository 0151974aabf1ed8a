# SPDX-License-Identifier: Apache-2.0
"""Tokenizer: the `tokenizers` library behind one function, texts to rows of token ids."""

from __future__ import annotations

import os
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from gateway.errors import InvalidRequest
from gateway.steps.files import package
from gateway.steps.step import Misfit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.wire.tensor import Array

# What BERT's own tokenizer knows as special, and how long a word it takes apart.
_SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LONGEST_WORD: Final = 100
_MAX_LENGTH: Final = 512
# Tokenizers of models of now and of before a reload.
_KEPT: Final = 32
_PART: Final = 1 << 18


class Tokenizer(NamedTuple):
    """*encode* gives for each text an object with `ids` and `type_ids`, lists of equal length.

    It cuts rows to *max_length* tokens where that was asked for, *special* of which the model
    needs itself. *pad* and *pad_type* stand where a row has no token.
    """

    encode: Callable[[list[str]], Sequence[Any]]
    max_length: int
    special: int
    pad: int
    pad_type: int


class Rules(NamedTuple):
    """How any tokenizer is used: rows of at most *max_length* tokens, cut on one side or refused.

    *max_length* 0 is what the tokenizer says of itself, else 512; *pad_token* "" likewise.
    """

    max_length: int
    truncate: bool
    truncation_side: str
    special_tokens: bool
    pad_token: str


def tokens(tokenizer: Tokenizer, texts: Sequence[str], name: str) -> tuple[Array, Array, list[int]]:
    """The ids and segments of all *texts* of input *name*, flat, and how many each text has.

    Raises InvalidRequest for a row that has too many. The library keeps what it cuts off, some 150
    bytes a token, until its rows are gone: so they are made part by part.
    """
    ids: list[Array] = []
    segments: list[Array] = []
    lengths: list[int] = []
    for part in _parts(texts):
        rows = tokenizer.encode(part)
        counts = [len(row) for row in rows]
        if counts and (longest := max(counts)) > tokenizer.max_length:
            raise InvalidRequest(
                f"input '{name}' row {len(lengths) + counts.index(longest)}: the text has "
                f"{longest} tokens, at most {tokenizer.max_length} are taken"
            )
        total = sum(counts)
        ids.append(np.fromiter(chain.from_iterable(row.ids for row in rows), np.int64, total))
        segments.append(
            np.fromiter(chain.from_iterable(row.type_ids for row in rows), np.int64, total)
        )
        lengths += counts
    if not ids:
        return np.empty(0, np.int64), np.empty(0, np.int64), lengths
    return np.concatenate(ids), np.concatenate(segments), lengths


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """*texts* in parts of about `_PART` characters, at most as many texts."""
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        # A short text costs more than its characters.
        size += len(text) + 64
        if size >= _PART:
            yield part
            part, size = [], 0
    if part:
        yield part


@lru_cache(maxsize=_KEPT)
def from_json(content: bytes, rules: Rules) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``; raises Misfit."""
    library = _library()
    try:
        made = library.Tokenizer.from_buffer(content)
    # The library raises nothing more exact, whatever is wrong.
    except Exception as error:  # noqa: BLE001
        raise Misfit(f"not a tokenizer.json: {str(error)[:200]}") from None
    return _ready(made, rules)


@lru_cache(maxsize=_KEPT)
def from_vocabulary(content: bytes, rules: Rules, *, lowercase: bool) -> Tokenizer:
    """BERT's tokenizer over a WordPiece vocabulary, one token a line; raises Misfit."""
    library = _library()
    try:
        lines = content.decode().split("\n")
    except UnicodeDecodeError as error:
        raise Misfit(f"the vocabulary is not UTF-8: {error.reason} at {error.start}") from None
    if lines[-1] == "":
        lines.pop()
    tokens = [line.rstrip("\r") for line in lines]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise Misfit("the vocabulary has a token twice; expected one token a line")
    if missing := [token for token in _SPECIAL[:4] if token not in vocabulary]:
        raise Misfit(f"the vocabulary has no {missing[0]}; expected one of BERT, one token a line")
    unknown = "[UNK]"
    model = library.models.WordPiece(
        vocabulary, unk_token=unknown, max_input_chars_per_word=_LONGEST_WORD
    )
    made = library.Tokenizer(model)
    made.normalizer = library.normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=lowercase
    )
    made.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    made.post_processor = library.processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    made.add_special_tokens([token for token in _SPECIAL if token in vocabulary])
    return _ready(made, rules)


def _ready(made: Any, rules: Rules) -> Tokenizer:  # noqa: ANN401 - the library has no types
    padding, truncation = made.padding or {}, made.truncation or {}
    most = rules.max_length or int(truncation.get("max_length", _MAX_LENGTH))
    special = made.num_special_tokens_to_add(is_pair=False) if rules.special_tokens else 0
    if most <= special:
        raise Misfit(f"max_length is {most}: {special} special tokens leave no room for others")
    pad = _pad(made, rules.pad_token, padding)
    # Rows are padded here, and in numpy.
    made.no_padding()
    if rules.truncate:
        made.enable_truncation(most, direction=rules.truncation_side)
    else:
        made.no_truncation()

    def encode(texts: list[str]) -> Sequence[Any]:
        rows: Sequence[Any] = made.encode_batch_fast(texts, add_special_tokens=rules.special_tokens)
        return rows

    return Tokenizer(encode, most, special, pad, int(padding.get("pad_type_id", 0)))


def _pad(made: Any, token: str, padding: dict[str, Any]) -> int:  # noqa: ANN401 - no types
    if not token and "pad_id" in padding:
        return int(padding["pad_id"])
    for each in (token,) if token else ("[PAD]", "<pad>"):
        number = made.token_to_id(each)
        if number is not None:
            return int(number)
    if token:
        raise Misfit(f"the tokenizer has no token '{token}' (pad_token)")
    raise Misfit("the tokenizer names no padding token; say which with pad_token")


def _library() -> Any:  # noqa: ANN401 - a module without types
    # One thread for each call: the gateway decides how many run at a time.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return package("tokenizers", extra="text")
