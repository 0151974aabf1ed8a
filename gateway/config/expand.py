# SPDX-License-Identifier: Apache-2.0
"""``${NAME}`` and ``${NAME:-default}`` in a value become what the environment says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$\$(?=\{)|\$\{([^{}]*)\}|\$\{")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def refers(text: str) -> bool:
    """Whether *text* holds anything to expand."""
    return "${" in text


def expand(text: str, environment: Mapping[str, str]) -> str:
    """*text* with each reference replaced; ``$${`` stands for a literal ``${``.

    The default counts for a variable that is unset or empty. What comes out is a value, never
    YAML again. Raises ValueError on an unset variable or a malformed reference.
    """

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name, separator, default = (found[1] or "").partition(":-")
        if found[1] is None or not _NAME.fullmatch(name):
            raise ValueError(f"'{text}': expected ${{NAME}} or ${{NAME:-default}}")
        said = environment.get(name)
        if said or (said is not None and not separator):
            return said
        if separator:
            return default
        raise ValueError(
            f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
        )

    return _REFERENCE.sub(value, text)
