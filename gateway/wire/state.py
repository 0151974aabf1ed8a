# SPDX-License-Identifier: Apache-2.0
"""What a gateway process knows of its endpoints, as it writes it down for the control process."""

from __future__ import annotations

import msgspec


class EndpointState(msgspec.Struct, frozen=True):
    """One endpoint as one gateway process sees it.

    *attempts* counts those of this process; *ejected_for* are the seconds that an ejection lasts.
    *wrong*: it is ejected for its wrong answers, for as long as probes find them.
    """

    name: str
    address: str
    state: str
    pending: int
    weight: float = 1.0
    attempts: int = 0
    ejected_for: float | None = None
    wrong: bool = False


class ModelState(msgspec.Struct, frozen=True):
    """One model as one gateway process sees it; *queued* counts the rows that wait in it.

    *version* and *digest* are of what it serves, empty until a worker has said so.
    """

    ready: bool
    queued: int
    endpoints: tuple[EndpointState, ...]
    version: str = ""
    digest: str = ""


class GatewayState(msgspec.Struct, frozen=True):
    """What one gateway process writes.

    *generation* is the number of the one that it serves; *ending* counts the models of former ones
    that have requests still. *http* is the address of its data port, "" where that is not known.
    """

    models: dict[str, ModelState]
    generation: int = 0
    ending: int = 0
    http: str = ""
