# SPDX-License-Identifier: Apache-2.0
"""The gateway, HAProxy and nginx, each before the same servers of one request at a time."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import Program, find, python

GATEWAY = """
server:
  http: "127.0.0.1:{port}"
  admin: "127.0.0.1:0"
  log_level: warning
  access_log: {{errors: false}}
models:
  echo:
    backends:
{backends}
    policy: least_outstanding
    batch: {{max_rows: 1, queue_rows: 64}}
    retry: {{attempts: 2}}
"""
HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout queue {timeout}ms
    option http-keep-alive
    http-reuse always
    retries 1
    option redispatch
frontend in
    bind 127.0.0.1:{port} backlog 4096
    default_backend servers
backend servers
    balance leastconn
    option httpchk GET /v2/health/ready
    default-server check inter 2s rise 2 fall 3 maxconn 2
{servers}
"""
NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream servers {{
        zone servers 64k;
        least_conn;
{servers}
        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout {timeout}ms;
            proxy_next_upstream error;
        }}
    }}
}}
"""
NAMES = ("infergate", "haproxy", "nginx")


def programs(
    name: str, directory: Path, port: int, workers: Sequence[int], timeout: float
) -> list[Program]:
    """What to start for *name* on *port*, before servers on the ports *workers*.

    *timeout*, in seconds, is what a request may wait; each contender is told in its own way.
    """
    milliseconds = int(timeout * 1000)
    path = directory / f"{name}.conf"
    if name == "infergate":
        backends = "\n".join(
            f'      - {{url: "http://127.0.0.1:{each}", max_concurrency: 2}}' for each in workers
        )
        path.write_text(GATEWAY.format(port=port, backends=backends))
        return [Program(python("-m", "gateway", "serve", "-c", str(path)))]
    if name == "haproxy":
        servers = "\n".join(f"    server s{each} 127.0.0.1:{each}" for each in workers)
        # What it lets go at the last moment could not be served in time any more.
        queue = int(milliseconds * 0.75)
        path.write_text(HAPROXY.format(port=port, servers=servers, timeout=queue))
        return [Program([find("haproxy"), "-db", "-f", str(path)])]
    servers = "\n".join(
        f"        server 127.0.0.1:{each} max_fails=3 fail_timeout=2s;" for each in workers
    )
    path.write_text(
        NGINX.format(port=port, servers=servers, timeout=milliseconds, directory=directory)
    )
    return [Program([find("nginx"), "-c", str(path)])]
