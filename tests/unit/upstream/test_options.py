# SPDX-License-Identifier: Apache-2.0
"""The sections of a model's endpoints."""

from __future__ import annotations

import pytest

from gateway.upstream.options import EjectionConfig


def test_ejections_grow_up_to_their_maximum() -> None:
    """A maximum below the base bounds nothing."""
    with pytest.raises(ValueError, match="max is below base"):
        EjectionConfig(base=2.0, max=1.0)
