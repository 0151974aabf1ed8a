# SPDX-License-Identifier: Apache-2.0
"""Where a Redis is, as a URL says it: one server, Sentinels that know it, or a cluster."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

Kind: TypeAlias = Literal["server", "unix", "sentinel", "cluster"]

_SCHEMES: Final[dict[str, tuple[Kind, bool, int]]] = {
    "redis": ("server", False, 6379),
    "rediss": ("server", True, 6379),
    "unix": ("unix", False, 0),
    "redis+sentinel": ("sentinel", False, 26379),
    "rediss+sentinel": ("sentinel", True, 26379),
    "redis+cluster": ("cluster", False, 6379),
    "rediss+cluster": ("cluster", True, 6379),
}
_HOST: Final = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_SERVICE: Final = re.compile(r"[A-Za-z0-9_.-]+")
EXPECTED: Final = (
    "expected memory, or redis://HOST:PORT/DB, rediss://… (TLS), unix:/PATH, "
    "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB or redis+cluster://HOST:PORT,HOST:PORT"
)


class RedisAddress(NamedTuple):
    """*hosts* are servers, Sentinels or nodes of a cluster, *path* is that of a Unix socket.

    Its text shows no password.
    """

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    tls: bool = False
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"<RedisAddress {self}>"

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.hosts)
        kind = "" if self.kind == "server" else f"+{self.kind}"
        service = f"/{self.service}" if self.service else ""
        return f"redis{'s' if self.tls else ''}{kind}://{hosts}{service}/{self.database}"


def parse_redis_url(text: str) -> RedisAddress:
    """What *text* says; raises ValueError, which never repeats what may be a password."""
    scheme, separator, rest = text.partition(":")
    known = _SCHEMES.get(scheme)
    if not separator or known is None:
        raise ValueError(EXPECTED)
    kind, tls, port = known
    try:
        parts = urlsplit("x:" + rest)
    except ValueError:
        raise ValueError(EXPECTED) from None
    if parts.query or parts.fragment:
        raise ValueError(f"a redis URL takes no ?options here; {EXPECTED}")
    login, at, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    login_parts = (unquote(username), unquote(password)) if at else ("", "")
    if kind == "unix":
        if not parts.path.startswith("/") or hosts:
            raise ValueError(f"a Unix socket needs an absolute path, unix:/PATH; {EXPECTED}")
        return RedisAddress(
            "unix", path=parts.path, username=login_parts[0], password=login_parts[1]
        )
    path = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    service = ""
    if kind == "sentinel":
        if not path or not _SERVICE.fullmatch(path[0]):
            raise ValueError(f"the name of the service that the Sentinels watch lacks; {EXPECTED}")
        service = path.pop(0)
    database = path.pop(0) if path else "0"
    if path or not database.isdecimal() or len(database) > 4:
        raise ValueError(f"the path of the URL is not the number of a database; {EXPECTED}")
    if kind == "cluster" and database != "0":
        raise ValueError("a cluster has only database 0; leave the path out")
    found = tuple(_host(host, port) for host in hosts.split(","))
    if kind == "server" and len(found) != 1:
        raise ValueError(f"several hosts are for Sentinels or a cluster; {EXPECTED}")
    return RedisAddress(kind, found, "", tls, service, int(database), *login_parts)


def without_password(text: str) -> str:
    """*text* with what stands before an ``@`` in its URLs, names included, as ``***``."""
    return re.sub(r"(://|:/{0,2})[^/@\s]*@", r"\1***@", text)


def _host(text: str, port: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None or not 0 < int(found[2] or port) <= 65535:
        raise ValueError(f"a host of the URL is not HOST:PORT; {EXPECTED}")
    return found[1].strip("[]"), int(found[2] or port)
