# SPDX-License-Identifier: Apache-2.0
"""Listening sockets: taken ports are known before anything starts, free ones are shared evenly."""

from __future__ import annotations

import select
import socket

import pytest

from gateway.wire.listen import ListenError, address_of, let_nobody_in, listen


@pytest.mark.parametrize("count", [1, 2])
def test_a_taken_port_is_refused_with_what_to_do(count: int) -> None:
    """The message names the address and the key, also where ports are shared out."""
    (taken,) = listen("127.0.0.1:0", key="server.http")
    address = address_of(taken)
    with taken, pytest.raises(ListenError) as refused:
        listen(address, key="server.http", count=count)
    assert str(refused.value) == (
        f"http {address}: address already in use; stop what listens there or set server.http"
    )


def test_a_port_that_another_program_shares_out_is_taken_too() -> None:
    """Two gateways must not serve one port by accident, half of the requests each."""
    ours = listen("127.0.0.1:0", key="server.http", count=2)
    with pytest.raises(ListenError, match="address already in use"):
        listen(address_of(ours[0]), key="server.http", count=2)
    for each in ours:
        each.close()


def test_one_socket_for_each_process_on_one_free_port() -> None:
    """Port 0 takes one port for all, and every socket accepts."""
    sockets = listen("127.0.0.1:0", key="server.http", count=3)
    assert len({each.fileno() for each in sockets}) == 3
    assert len({address_of(each) for each in sockets}) == 1
    waiting = [socket.create_connection(sockets[0].getsockname()) for _ in range(64)]
    accepted = 0
    for each in sockets:
        each.settimeout(0)
        while True:
            try:
                each.accept()[0].close()
            except BlockingIOError:
                break
            accepted += 1
    assert accepted == len(waiting)
    for each in [*sockets, *waiting]:
        each.close()


def test_a_connection_waits_while_no_process_accepts() -> None:
    """A client that comes while the gateway is started anew is answered, not refused."""
    (listening,) = listen("127.0.0.1:0", key="server.http")
    client = socket.create_connection(listening.getsockname())
    client.sendall(b"hello")
    accepted, _ = listening.accept()
    assert accepted.recv(5) == b"hello"
    for each in (listening, client, accepted):
        each.close()


def test_an_address_of_another_machine_is_refused() -> None:
    """TEST-NET-1 is on no machine."""
    with pytest.raises(ListenError, match=r"http 192\.0\.2\.1:0: not an address of this machine"):
        listen("192.0.2.1:0", key="server.http")


def test_a_malformed_address_is_refused() -> None:
    """The form that is right is in the message."""
    with pytest.raises(ListenError, match=r"set server\.admin to HOST:PORT"):
        listen("8002", key="server.admin")


def test_a_closed_door_keeps_those_who_are_in() -> None:
    """What has connected is accepted with what it sent; who comes later waits outside."""
    (listening,) = listen("127.0.0.1:0", key="server.http")
    with listening, socket.create_connection(listening.getsockname()) as early:
        early.sendall(b"request")
        let_nobody_in(listening)
        with socket.socket() as late:
            late.settimeout(0)
            late.connect_ex(listening.getsockname())
            # It would be there at once: on this host the kernel connects before it returns.
            assert select.select([], [late], [], 0) == ([], [], [])
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.recv(7) == b"request"
            listening.settimeout(0)
            with pytest.raises(BlockingIOError):
                listening.accept()


def test_without_it_a_connection_is_there_at_once() -> None:
    """What the test above takes for granted."""
    (listening,) = listen("127.0.0.1:0", key="server.http")
    with listening, socket.socket() as late:
        late.settimeout(0)
        late.connect_ex(listening.getsockname())
        assert select.select([], [late], [], 0) == ([], [late], [])
