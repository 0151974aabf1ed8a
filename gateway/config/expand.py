# SPDX-License-Identifier: Apache-2.0
"""What a value refers to: ``${NAME}`` and ``${NAME:-default}`` in the environment, and files.

``file:PATH`` as a whole value, or ``${file:PATH}`` within one, is the secret in that file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.config.secret import Secret, read_secret

_FILE: Final = "file:"
_REFERENCE: Final = re.compile(r"\$\$(?=\{)|\$\{([^{}]*)\}|\$\{")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def refers(text: str) -> bool:
    """Whether *text* holds anything to expand."""
    return "${" in text or text.startswith(_FILE)


def expand(text: str, environment: Mapping[str, str]) -> str:
    """*text* with each reference replaced; ``$${`` stands for a literal ``${``.

    The default counts for a variable that is unset or empty. What comes out is a value, never
    YAML again; a `Secret` where any of it comes from a file. Raises ValueError on an unset
    variable, a malformed reference or a file that cannot be used.
    """
    if text.startswith(_FILE):
        return read_secret(text.removeprefix(_FILE))
    secret = False

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        if found[1] is not None and found[1].startswith(_FILE):
            nonlocal secret
            secret = True
            return read_secret(found[1].removeprefix(_FILE))
        name, separator, default = (found[1] or "").partition(":-")
        if found[1] is None or not _NAME.fullmatch(name):
            raise ValueError(f"'{text}': expected ${{NAME}}, ${{NAME:-default}} or ${{file:PATH}}")
        said = environment.get(name)
        if said or (said is not None and not separator):
            return said
        if separator:
            return default
        raise ValueError(
            f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
        )

    expanded = _REFERENCE.sub(value, text)
    return Secret(expanded) if secret else expanded
