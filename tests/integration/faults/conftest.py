# SPDX-License-Identifier: Apache-2.0
"""What tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import models
from tests.support.worker_process import Worker


@pytest.fixture(scope="session")
def two_real_workers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Worker, Worker]]:
    """Two processes that answer what they are asked; whoever ends one of them makes its own."""
    directory = models.save(models.identity(), tmp_path_factory.mktemp("model") / "m")
    with Worker(directory) as one, Worker(directory) as other:
        yield one, other
