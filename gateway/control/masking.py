# SPDX-License-Identifier: Apache-2.0
"""What of the configuration is shown: all of it except the values that may be secrets."""

from __future__ import annotations

from typing import Any, Final, TypeGuard

import msgspec

from gateway.config.secret import MASK, masked
from gateway.stores.address import without_password

_SECRET: Final = frozenset({"env", "headers"})
# Keys whose value, or each of its items, is a secret or says where one is.
_SECRETS: Final = frozenset({"secret", "encryption_keys", "password", "sentinel_password"})


def shown(config: msgspec.Struct) -> dict[str, Any]:
    """*config* as plain JSON values; secrets and the values of ``env`` and ``headers`` are masked.

    They are what a configuration takes from outside to hand on, keys to a model store among it.
    So are secrets of the cache, and whoever logs in by a URL.
    """
    return without_secrets(msgspec.to_builtins(config, str_keys=True, enc_hook=masked))


def without_secrets(values: dict[str, Any]) -> dict[str, Any]:
    """*values*, a configuration or a section of it as plain values, with its secrets masked."""
    result = _masked(values)
    assert isinstance(result, dict)  # noqa: S101 - a mapping stays one
    return result


def _masked(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: dict.fromkeys(inner, MASK)
            if key in _SECRET and _is_flat(inner)
            else _hidden(inner)
            if key in _SECRETS
            else _masked(inner)
            for key, inner in value.items()
        }
    # Lists of a configuration are tuples.
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return without_password(value) if isinstance(value, str) else value


def _hidden(value: object) -> object:
    """What is shown of a secret, a list of some, or none."""
    if isinstance(value, str):
        return MASK
    return [MASK for _ in value] if isinstance(value, list | tuple) else _masked(value)


def _is_flat(value: object) -> TypeGuard[dict[str, str]]:
    """A mapping to text, and not a model that happens to be named ``env``."""
    return isinstance(value, dict) and all(isinstance(inner, str) for inner in value.values())
