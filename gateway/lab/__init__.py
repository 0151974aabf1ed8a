# SPDX-License-Identifier: Apache-2.0
"""Tools that look at a gateway from the outside, as its clients do."""


class LabError(Exception):
    """A tool was given something that it cannot use; the message is one line for stderr."""
