# SPDX-License-Identifier: Apache-2.0
"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# Time never decides: a busy machine is not a failure, and pytest's own timeout ends a hang.
settings.register_profile("infergate", deadline=None)
settings.load_profile("infergate")
