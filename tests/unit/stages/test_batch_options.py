# SPDX-License-Identifier: Apache-2.0
"""The section of a model's batches."""

from __future__ import annotations

import pytest

from gateway.stages.batch_options import BatchConfig


def test_queue_has_room_for_a_batch() -> None:
    """A queue that is smaller than a batch would refuse what could have been merged."""
    assert BatchConfig(max_rows=8, queue_rows=8).queue_rows == 8
    with pytest.raises(ValueError, match="queue_rows is below max_rows"):
        BatchConfig(max_rows=8, queue_rows=7)
