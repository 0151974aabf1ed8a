# SPDX-License-Identifier: Apache-2.0
"""Clean text: Unicode form, case, replacements and white space, in this order.

Patterns are RE2's, which reads a text once whatever the pattern: no text can make one take long.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec

from gateway.errors import InvalidRequest
from gateway.steps.files import package
from gateway.steps.step import Change, Misfit, OneInput
from gateway.steps.strings import MAX_BYTES, Bound, needs_text, texts
from gateway.wire.tensor import Tensor, join_elements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.wire.model import TensorSpec

# The memory of one compiled pattern; a pattern that needs more is refused when it is read.
_PATTERN_BYTES: Final = 8 << 20
_GROUP: Final = re.compile(r"\\(?:g<(\w+)>|(\d+)|.)", re.DOTALL)
_CASE: Final[dict[str, Callable[[str], str]]] = {
    "lower": str.lower, "upper": str.upper, "fold": str.casefold,
}  # fmt: skip


class Replacement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every match of a pattern becomes another text."""

    pattern: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=1024,
            description="A regular expression of RE2: no look-around and no back-references, and "
            "`\\w`, `\\d`, `\\s` and `\\b` are ASCII; `\\pL` is a letter of any script.",
        ),
    ]
    by: Annotated[
        str,
        msgspec.Meta(
            max_length=1024,
            description="What each match becomes; `\\1` is the first group, `\\g<0>` the match.",
        ),
    ] = msgspec.field(name="with", default="")


class CleanText(OneInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts in one Unicode form and case, with parts replaced; one text a row stays one."""

    kind: ClassVar[str] = "clean_text"
    # Tens of nanoseconds a byte with a few patterns.
    inline_bytes: ClassVar[int] = 16 << 10

    unicode: Annotated[
        Literal["keep", "NFC", "NFD", "NFKC", "NFKD"],
        msgspec.Meta(description="The Unicode normal form that texts are brought into."),
    ] = "keep"
    strip_accents: Annotated[
        bool,
        msgspec.Meta(
            description="Whether combining marks are dropped, after a decomposition (NFD, or NFKD "
            "where that is asked for): é becomes e."
        ),
    ] = False
    case: Annotated[
        Literal["keep", "lower", "upper", "fold"],
        msgspec.Meta(description="lower, upper, or fold for Unicode's caseless form (ß is ss)."),
    ] = "keep"
    replace: Annotated[
        tuple[Replacement, ...],
        msgspec.Meta(
            max_length=64, description="Replacements, each on the result of the one before."
        ),
    ] = ()
    whitespace: Annotated[
        Literal["keep", "strip", "collapse"],
        msgspec.Meta(
            description="strip: none at the ends. collapse: that, and one blank for each run of "
            "white space between words."
        ),
    ] = "keep"
    max_bytes: Bound = MAX_BYTES

    def faults(self) -> Iterable[tuple[str, str]]:
        """A pattern that RE2 cannot read, or no RE2."""
        try:
            self._patterns()
        except Misfit as error:
            yield "replace", str(error)

    def source(self, spec: TensorSpec, *, batched: bool) -> TensorSpec:  # noqa: ARG002
        """The same."""
        return needs_text(spec, self.kind)

    def change(self, spec: TensorSpec, *, batched: bool) -> Change:  # noqa: ARG002
        """Text by text: there is nothing to share between them."""
        clean = _composed(self._changes())
        most = self.max_bytes

        def clean_text(tensor: Tensor) -> Tensor:
            cleaned: list[Any] = [clean(text) for text in texts(tensor, max_bytes=most)]
            for row, text in enumerate(cleaned):
                # Some forms are longer, and each replacement may be.
                if len(text) > most:
                    raise InvalidRequest(
                        f"input '{tensor.name}' row {row}: the cleaned text has {len(text)} "
                        f"characters, at most {most} are taken"
                    )
            return Tensor(tensor.name, "BYTES", tensor.shape, join_elements(cleaned))

        return clean_text

    def _changes(self) -> list[Callable[[str], str]]:
        changes: list[Callable[[str], str]] = []
        form = self.unicode
        if self.strip_accents:
            changes.append(_without_marks("NFKD" if form in {"NFKC", "NFKD"} else "NFD"))
        if form != "keep":
            changes.append(lambda text: unicodedata.normalize(form, text))
        if self.case != "keep":
            changes.append(_CASE[self.case])
        changes += self._patterns()
        if self.whitespace == "strip":
            changes.append(str.strip)
        elif self.whitespace == "collapse":
            changes.append(lambda text: " ".join(text.split()))
        return changes

    def _patterns(self) -> list[Callable[[str], str]]:
        """A function for each replacement; raises Misfit."""
        if not self.replace:
            return []
        re2 = package("re2", extra="text")
        options = re2.Options()
        options.max_mem = _PATTERN_BYTES
        options.log_errors = False
        made: list[Callable[[str], str]] = []
        for at, each in enumerate(self.replace):
            try:
                pattern = re2.compile(each.pattern, options=options)
                _check_groups(each.by, pattern)
            except (re2.error, ValueError) as error:
                raise Misfit(
                    f"replacement {at}: pattern '{each.pattern[:64]}': {_reason(error)}"
                ) from None
            made.append(_replacing(pattern, each.by, self.max_bytes))
        return made


def _composed(changes: list[Callable[[str], str]]) -> Callable[[str], str]:
    def clean(text: str) -> str:
        for change in changes:
            text = change(text)
        return text

    return clean


def _without_marks(form: Literal["NFD", "NFKD"]) -> Callable[[str], str]:
    def strip_accents(text: str) -> str:
        if text.isascii():
            return text
        apart = unicodedata.normalize(form, text)
        return "".join([char for char in apart if not unicodedata.combining(char)])

    return strip_accents


def _replacing(pattern: Any, by: str, most: int) -> Callable[[str], str]:  # noqa: ANN401 - no types
    def replace(text: str) -> str:
        # A text that has grown too long stays as it is, and is refused at the end.
        return text if len(text) > most else str(pattern.sub(by, text))

    return replace


def _check_groups(by: str, pattern: Any) -> None:  # noqa: ANN401 - no types
    """Raise ValueError where *by* names a group that *pattern* has not: it would at a match."""
    for found in _GROUP.finditer(by):
        name = found[1] or found[2]
        if name is None:
            continue
        known = int(name) <= pattern.groups if name.isdecimal() else name in pattern.groupindex
        if not known:
            raise ValueError(f"there is no group '{name}' in it")


def _reason(error: Exception) -> str:
    text = error.args[0] if error.args else type(error).__name__
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
