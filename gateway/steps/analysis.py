# SPDX-License-Identifier: Apache-2.0
"""Analysis: a text as the terms that a bag of words counts, as scikit-learn's vectorizers see it.

The text is lowercased, then stripped of accents, then cut into words or characters, whose n-grams
are the terms.
"""

from __future__ import annotations

import re
import unicodedata
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Terms = Callable[[str], Sequence[str]]

WORD_PATTERN: Final = r"(?u)\b\w\w+\b"
_SPACES: Final = re.compile(r"\s\s+")
_LONGEST_PATTERN: Final = 1024
# Above so many repetitions a repeat counts as one without an end.
_FEW: Final = 8


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """How texts become terms; the fields are scikit-learn's parameters of the same names."""

    analyzer: Literal["word", "char", "char_wb"] = "word"
    lowercase: bool = True
    strip_accents: Literal["ascii", "unicode"] | None = None
    token_pattern: str = WORD_PATTERN
    stop_words: tuple[str, ...] = ()
    ngram_range: tuple[int, int] = (1, 1)

    def terms(self) -> Terms:
        """The function from a text to its terms; raises ValueError for a pattern or range."""
        shortest, longest = self.ngram_range
        if not 1 <= shortest <= longest <= 32:
            raise ValueError(f"ngram_range is {[shortest, longest]}; expected two from 1 to 32")
        prepare = self._prepare
        if self.analyzer == "word":
            find = token_finder(self.token_pattern)
            stopped = frozenset(self.stop_words)

            def words(text: str) -> Sequence[str]:
                found = find(prepare(text))
                if stopped:
                    found = [word for word in found if word not in stopped]
                return found if longest == 1 else _joined(found, shortest, longest)

            return words
        if self.analyzer == "char":
            return lambda text: _slices(_SPACES.sub(" ", prepare(text)), shortest, longest)

        def within_words(text: str) -> Sequence[str]:
            terms: list[str] = []
            for word in prepare(text).split():
                terms += _padded_slices(f" {word} ", shortest, longest)
            return terms

        return within_words

    def _prepare(self, text: str) -> str:
        if self.lowercase:
            text = text.lower()
        if self.strip_accents is None or (text.isascii() and self.strip_accents == "unicode"):
            return text
        apart = unicodedata.normalize("NFKD", text)
        if self.strip_accents == "ascii":
            return apart.encode("ascii", "ignore").decode("ascii")
        return "".join([char for char in apart if not unicodedata.combining(char)])


def token_finder(pattern: str) -> Callable[[str], list[str]]:
    """The function that gives all matches of *pattern*; raises ValueError.

    The language is Python's, since that is what the vectorizer was fitted with, and Python goes
    back and forth in a text to find a match. So a pattern must be of a form in which that is
    bounded by the square of a text's length: an endless repeat is of single characters, and an
    alternative has one of them.
    """
    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError(f"token_pattern has more than {_LONGEST_PATTERN} characters")
    try:
        compiled = re.compile(pattern)
        _endless(import_module("re._parser").parse(pattern))
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"token_pattern '{pattern[:64]}': {error}") from None
    if compiled.groups > 1:
        raise ValueError(f"token_pattern '{pattern[:64]}' has {compiled.groups} groups, not one")
    return compiled.findall


def _endless(parsed: Any) -> int:  # noqa: ANN401 - the parser of `re` has no types
    """How many endless repeats a match goes through; raises ValueError for more than one."""
    total = 0
    for kind, value in parsed:
        name = str(kind)
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            _, most, inner = value
            single = len(inner) == 1 and str(inner[0][0]) in _SINGLE
            below = _endless(inner)
            if most > 1 and not single:
                raise ValueError("token_pattern repeats more than single characters")
            total += int(most > _FEW) + below
        elif name == "SUBPATTERN":
            total += _endless(value[-1])
        elif name == "ATOMIC_GROUP":
            total += _endless(value)
        elif name == "BRANCH":
            total += max(_endless(each) for each in value[1])
        elif name not in _SINGLE and name != "AT":
            raise ValueError("token_pattern looks around or refers back, which has no bound")
    if total > 1:
        raise ValueError("token_pattern has several endless repeats in a row")
    return total


_SINGLE: Final = frozenset({"LITERAL", "NOT_LITERAL", "IN", "ANY", "CATEGORY"})


def _joined(words: Sequence[str], shortest: int, longest: int) -> list[str]:
    return [
        " ".join(words[at : at + size])
        for size in range(shortest, longest + 1)
        for at in range(len(words) - size + 1)
    ]


def _slices(text: str, shortest: int, longest: int) -> list[str]:
    return [
        text[at : at + size]
        for size in range(shortest, longest + 1)
        for at in range(len(text) - size + 1)
    ]


def _padded_slices(word: str, shortest: int, longest: int) -> Iterator[str]:
    """The slices of *word*; one that is shorter than a size counts once, and not for more sizes."""
    for size in range(shortest, longest + 1):
        if size >= len(word):
            yield word
            return
        yield from (word[at : at + size] for at in range(len(word) - size + 1))
