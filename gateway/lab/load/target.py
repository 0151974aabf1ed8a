# SPDX-License-Identifier: Apache-2.0
"""Target: where a URL points to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from gateway.lab import LabError

if TYPE_CHECKING:
    from gateway.lab.load.run import Plan


class Target(NamedTuple):
    """Host, port, and whether it is spoken to through TLS."""

    host: str
    port: int
    tls: bool

    @property
    def address(self) -> str:
        """As one text, with brackets where the host is an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def target_of(plan: Plan) -> Target:
    """Where *plan* sends to. Raises LabError, without what may be a secret in the URL."""
    schemes = {"grpc": 0, "grpcs": 0} if plan.protocol == "grpc" else {}
    schemes |= {"http": 80, "https": 443}
    url = plan.url if "//" in plan.url else f"//{plan.url}"
    try:
        parts = urlsplit(url, scheme="grpc" if plan.protocol == "grpc" else "")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    hint = "grpc://HOST:PORT" if plan.protocol == "grpc" else "http://HOST:PORT"
    if parts.scheme not in schemes or not parts.hostname:
        shown = "" if "@" in plan.url else f" '{plan.url}'"
        raise LabError(f"URL{shown}: expected {hint}")
    if "@" in parts.netloc:
        raise LabError(f"URL: expected {hint} without a user; give a key with --header")
    port = port or schemes[parts.scheme]
    if not port:
        raise LabError(f"URL '{plan.url}': expected {hint}, with its port")
    return Target(parts.hostname, port, parts.scheme in {"https", "grpcs"})
