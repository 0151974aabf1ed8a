# SPDX-License-Identifier: Apache-2.0
"""The section of a model's retries."""

from __future__ import annotations

import pytest

from gateway.stages.retry_options import BackoffConfig


def test_backoff_grows_up_to_its_maximum() -> None:
    """A maximum below the base bounds nothing."""
    assert BackoffConfig(base=0.1, max=0.1).max == 0.1
    with pytest.raises(ValueError, match="max is below base"):
        BackoffConfig(base=0.2, max=0.1)
