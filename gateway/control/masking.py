# SPDX-License-Identifier: Apache-2.0
"""What of the configuration is shown: all of it except the values that may be secrets."""

from __future__ import annotations

from typing import Any, Final, TypeGuard

import msgspec

from gateway.config.secret import MASK, masked

_SECRET: Final = frozenset({"env", "headers"})


def shown(config: msgspec.Struct) -> dict[str, Any]:
    """*config* as plain JSON values; secrets and the values of ``env`` and ``headers`` are masked.

    They are what a configuration takes from outside to hand on, keys to a model store among it.
    """
    plain = _masked(msgspec.to_builtins(config, str_keys=True, enc_hook=masked))
    assert isinstance(plain, dict)  # noqa: S101 - a struct becomes a mapping
    return plain


def _masked(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: dict.fromkeys(inner, MASK)
            if key in _SECRET and _is_flat(inner)
            else _masked(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_masked(inner) for inner in value]
    return value


def _is_flat(value: object) -> TypeGuard[dict[str, str]]:
    """A mapping to text, and not a model that happens to be named ``env``."""
    return isinstance(value, dict) and all(isinstance(inner, str) for inner in value.values())
