# SPDX-License-Identifier: Apache-2.0
"""Tell systemd, where it asks for it (``Type=notify``), that the service is ready or stopping."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send *state* (``READY=1``, ``STOPPING=1``) to ``$NOTIFY_SOCKET``, if it is set.

    A service manager that does not listen is no reason to stop serving.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
        try:
            datagram.sendto(state.encode(), address)
        except OSError:
            return
