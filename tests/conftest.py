# SPDX-License-Identifier: Apache-2.0
"""Settings for all tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import settings

# Time never decides: a busy machine is not a failure, and pytest's own timeout ends a hang.
settings.register_profile("infergate", deadline=None)
settings.load_profile("infergate")

_TRANSPORTS = ("test_slow_", "test_sent_ahead", "test_client_disconnect")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, LoopFactory]:
    """What tests transports runs on both loops, which differ most where connections end."""
    if "contract" in item.path.parts or item.path.name.startswith(_TRANSPORTS):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    if "faults" in item.path.parts:
        # What happens to a gateway's sockets is up to the loop that a gateway has.
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
