# SPDX-License-Identifier: Apache-2.0
"""A stand-in for any process of the gateway: it keeps the supervisor's contract and nothing else.

It reports what happens to it as datagrams ``NAME EVENT PID`` to the socket in ``$EVENTS``.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from gateway.wire.process import announce_ready, die_with_parent, inherited_socket


def main(name: str, manner: str) -> int:
    """Live in the *manner* asked for: well, listening, refusing, crashing, mute, or stubborn."""
    die_with_parent()
    events = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    events.connect(os.environ["EVENTS"])

    def report(event: str) -> None:
        events.send(f"{name} {event} {os.getpid()}".encode())

    wanted = {signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    listening = inherited_socket("http")
    if manner == "refusing":
        sys.stderr.write(f"{name}: this input cannot be used\n")
        return 2
    if manner == "crashing":
        return 1
    report("started" if listening is None else f"port-{listening.getsockname()[1]}")
    if manner != "mute":
        announce_ready()
    while True:
        signal.sigwait(wanted)
        report("SIGTERM")
        if manner != "stubborn":
            return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
