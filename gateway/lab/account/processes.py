# SPDX-License-Identifier: Apache-2.0
"""Processes: what a server on this machine uses, by process, from outside of it."""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from pathlib import PurePath
from typing import Final
from urllib.parse import urlsplit

import msgspec
import psutil

_PORTS: Final = {"http": 80, "https": 443}


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What one process used: processor time in cores, resident memory in bytes at the end.

    *role* is "gateway", "worker", "control", "supervisor", "generator" or "server", which is any
    other one.
    """

    name: str
    role: str
    pid: int
    cores: float
    memory: int


class Machine(msgspec.Struct, frozen=True):
    """How many *cores* there are, and the share of them that was *busy*, by whomever."""

    cores: int
    busy: float


class Reading(msgspec.Struct):
    """Processor seconds and memory of each process, and of the machine, at one moment."""

    at: float
    processes: dict[int, tuple[str, str, float, int]]
    busy: float
    idle: float


def read(url: str) -> Reading:
    """The processes of the server at *url*: none where it is elsewhere, or not ours to see."""
    found: dict[int, tuple[str, str, float, int]] = {}
    for process in _family(url):
        try:
            with process.oneshot():
                times = process.cpu_times()
                name, role = named(process.cmdline(), process.name())
                memory = process.memory_info().rss
        except psutil.Error:
            continue  # ended since
        found[process.pid] = (name, role, times.user + times.system, memory)
    machine = psutil.cpu_times()
    idle = machine.idle + getattr(machine, "iowait", 0.0)
    # A guest's time is in that of its user, too.
    counted = sum(machine) - getattr(machine, "guest", 0.0) - getattr(machine, "guest_nice", 0.0)
    return Reading(time.monotonic(), found, counted - idle, idle)


def used(before: Reading, after: Reading) -> tuple[list[Use], Machine]:
    """What was used between two readings; processes that ended between them are left out."""
    seconds = max(1e-9, after.at - before.at)
    uses = [
        Use(
            name=name, role=role, pid=pid, memory=memory,
            cores=max(0.0, spent - before.processes.get(pid, ("", "", 0.0, 0))[2]) / seconds,
        )
        for pid, (name, role, spent, memory) in after.processes.items()
    ]  # fmt: skip
    busy, idle = after.busy - before.busy, after.idle - before.idle
    cores = len(os.sched_getaffinity(0))
    return uses, Machine(cores, busy / (busy + idle) if busy + idle > 0 else 0.0)


def named(command: list[str], fallback: str) -> tuple[str, str]:
    """Name and role of a process of a gateway, by its command line."""
    module = command[command.index("-m") + 1] if "-m" in command[:-1] else ""
    if module == "backends" and "--listen" in command[:-1]:
        return f"worker {PurePath(command[command.index('--listen') + 1]).stem}", "worker"
    if module == "gateway.process":
        return "gateway", "gateway"
    if module == "gateway.control":
        return "control", "control"
    programs = {PurePath(word).name for word in command[:2]}
    if module == "gateway" or "infergate" in programs:
        return "supervisor", "supervisor"
    return fallback, "server"


def _family(url: str) -> list[psutil.Process]:
    """Who listens at *url*, with its supervisor and all that this one started."""
    parts = urlsplit(url if "://" in url else f"//{url}")
    port = parts.port or _PORTS.get(parts.scheme, 80)
    if not parts.hostname or not _is_here(parts.hostname):
        return []
    try:
        listening = {
            one.pid
            for one in psutil.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid
        }
    except psutil.Error:
        return []
    roots: dict[int, psutil.Process] = {}
    for pid in listening:
        try:
            process = psutil.Process(pid)
            parent = process.parent()
            if parent is not None and named(parent.cmdline(), "")[1] == "supervisor":
                process = parent
            roots[process.pid] = process
            for child in process.children(recursive=True):
                roots[child.pid] = child
        except psutil.Error:
            continue
    return list(roots.values())


def _is_here(host: str) -> bool:
    """Whether *host* is this machine: a loopback address, or one of its own."""
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    own = {
        address.address.partition("%")[0]
        for addresses_of in psutil.net_if_addrs().values()
        for address in addresses_of
    }
    return any(ipaddress.ip_address(each).is_loopback or each in own for each in addresses)
