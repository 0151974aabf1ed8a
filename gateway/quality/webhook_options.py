# SPDX-License-Identifier: Apache-2.0
"""The section ``webhooks``: who is told of decisions and alarms."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from msgspec import Meta, Struct

EventKind = Literal["decision", "accuracy", "probe", "drift"]
KINDS: tuple[EventKind, ...] = get_args(EventKind)
_SHORTEST = 16


class WebhookConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An address that gets a signed POST for each event; see docs/how-to/promote-a-candidate.md."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s]+$",
            max_length=2048,
            extra={"expected": "http://… or https://…"},
            description=(
                "Where events are sent; `${NAME}` or `file:PATH` where the address itself is a "
                "secret. Redirects are not followed, and link-local addresses not asked."
            ),
        ),
    ]
    secret: Annotated[
        str,
        Meta(
            min_length=_SHORTEST,
            max_length=8192,
            description=(
                "What events are signed with (HMAC-SHA256), at least 16 characters: `${NAME}`, or "
                "`file:PATH`."
            ),
        ),
    ]
    events: Annotated[
        tuple[EventKind, ...],
        Meta(
            min_length=1,
            description=(
                "Which events: decisions about candidates, and alarms of accuracy, probes and "
                "drift. All by default."
            ),
        ),
    ] = KINDS

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.username is not None:
            raise ValueError("url: a user or password in it would be sent to any; leave it out")
        host = parts.hostname or ""
        if not host:
            raise ValueError("url: has no host; expected https://HOST/PATH")
        try:
            refused = is_refused(host)
        except ValueError:
            return
        if refused:
            raise ValueError("url: link-local addresses are not asked; expected another host")


def is_refused(address: str) -> bool:
    """Whether events are not sent to this IP *address*; raises ValueError where it is none.

    Link-local ones are where clouds keep the credentials of machines.
    """
    found = ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or found
    return bool(mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified)
