"""Go daemons as Debian packs them: how each is started, what it answers, and what its strategy promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# A program that ends without waiting for the requests that it is answering.
ENDS_AT_ONCE = "it does not drain: on SIGTERM it ends, with the requests and the connections that it has"
# Go's Shutdown closes idle connections at once; a request may be on its way on one of them.
CLOSES_IDLE = "it drains, and closes idle connections as it begins to: a request may be on its way on one"
# HAProxy's sessions are counted every 50 ms while a program ends: see LastCount.
CLOSES_FIRST = (
    "on SIGTERM, 3.5 closes its connections itself and lives for about 70 ms more. The run counts what is open as long "
    "as the program lives, so its number may be smaller than the client's. 3.4 ends before the run counts again"
)
DOWNTIME = "strategy `restart`: nothing serves in between"


@dataclass(frozen=True)
class Talk:
    """How the daemon speaks over a websocket: `sends` is the client's first message, `expects` a part of the answer."""

    path: str
    sends: str
    expects: str


@dataclass(frozen=True)
class Row:
    """package: from the suites `before` and `after`. program: its file, where that is not named as the package.

    loses: why requests may be lost; empty where none may. kept: with loses, requests on connections of their own are
    not lost all the same. closes: why the run may count fewer websockets cut than the client; empty where it may not.
    """

    package: str
    strategy: str
    arguments: tuple[str, ...]
    before: str = "bookworm"
    after: str = "trixie"
    program: str = ""
    page: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    variables: dict[str, Any] = field(default_factory=dict)
    talk: Talk | None = None
    loses: str = ""
    kept: bool = False
    closes: str = ""

    @property
    def binary(self) -> str:
        return self.program or self.package


SOCKET_FLAG = "--web.systemd-socket"
LISTEN_FLAG = "--web.listen-address=127.0.0.1:${PORT}"
PROMETHEUS = "global: {scrape_interval: 5s}\n"
CADDYFILE = """\
{
  admin off
  auto_https off
}
http://127.0.0.1:{$PORT} {
  respond "slot {$SLIPWAY_SLOT}"
}
"""
REGISTRY = """\
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/docker-registry}}
http: {addr: "127.0.0.1:1"}
"""
NTFY = """\
behind-proxy: true
visitor-subscription-limit: 1000
visitor-request-limit-burst: 1000000
"""
# The configuration of a service is one folder of plain files: the page's template is one of them.
HUGO = """\
title = "Site"
layoutDir = "."
resourceDir = "/var/lib/hugo/resources"
disableKinds = ["taxonomy", "term", "RSS", "sitemap", "404"]
"""
HUGO_HELLO = '{"command":"hello","protocols":["http://livereload.com/protocols/official-7"],"ver":"2.0.8"}'

ROWS = (
    Row(
        "prometheus-node-exporter",
        "socket",
        (SOCKET_FLAG,),
        variables={
            "service_sandbox": {
                "ProcSubset": "all",
                "ProtectProc": "default",
                "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
            }
        },
        loses=ENDS_AT_ONCE,
    ),
    Row(
        "prometheus-pushgateway",
        "socket",
        (SOCKET_FLAG,),
        page="/-/ready",
        loses=CLOSES_IDLE,
        kept=True,
    ),
    Row(
        "restic-rest-server",
        "socket",
        ("--path", "/var/lib/restic-rest-server", "--no-auth", "--prometheus", "--prometheus-no-auth"),
        before="trixie",
        after="sid",
        page="/metrics",
        loses=CLOSES_IDLE,
        kept=True,
    ),
    Row(
        "prometheus",
        "proxy",
        (
            "--config.file=config/prometheus.yml",
            LISTEN_FLAG,
            "--storage.tsdb.path=/var/lib/prometheus/${SLIPWAY_SLOT}",
        ),
        page="/-/healthy",
        files={"prometheus.yml": PROMETHEUS},
    ),
    Row(
        "caddy",
        "proxy",
        ("run", "--adapter", "caddyfile", "--config", "config/Caddyfile"),
        before="trixie",
        after="sid",
        environment={"HOME": "/var/lib/caddy"},
        files={"Caddyfile": CADDYFILE},
        variables={"service_type": "notify"},
    ),
    Row(
        "docker-registry",
        "proxy",
        ("serve", "config/registry.yml"),
        page="/v2/",
        environment={"REGISTRY_HTTP_ADDR": "127.0.0.1:${PORT}", "OTEL_TRACES_EXPORTER": "none"},
        files={"registry.yml": REGISTRY},
    ),
    Row(
        "etcd-server",
        "proxy",
        (
            "--data-dir=/var/lib/etcd-server/${SLIPWAY_SLOT}",
            "--listen-client-urls=http://127.0.0.1:${PORT}",
            "--advertise-client-urls=http://127.0.0.1:${PORT}",
            "--listen-peer-urls=http://127.0.0.1:${PORT}0",
            "--initial-advertise-peer-urls=http://127.0.0.1:${PORT}0",
            "--initial-cluster=default=http://127.0.0.1:${PORT}0",
            "--enable-v2=false",
        ),
        program="etcd",
        page="/health",
        talk=Talk("/v3/watch", '{"create_request": {"key": "Zm9v"}}', '"created":true'),
        closes=CLOSES_FIRST,
    ),
    Row(
        "hugo",
        "proxy",
        (
            "server", "--source", "config", "--bind", "127.0.0.1", "--port", "${PORT}",
            "--noBuildLock", "--cacheDir", "/var/lib/hugo/cache", "--destination", "/var/lib/hugo/${SLIPWAY_SLOT}",
        ),
        files={"hugo.toml": HUGO, "index.html": "<html><head></head><body>a page</body></html>\n"},
        libraries=("libwebp7", "libsass1"),
        talk=Talk("/livereload", HUGO_HELLO, "hello"),
    ),
    Row(
        "ntfy",
        "proxy",
        ("serve", "--config", "config/server.yml", "--listen-http", "127.0.0.1:${PORT}"),
        before="trixie",
        after="sid",
        page="/v1/health",
        files={"server.yml": NTFY},
        talk=Talk("/news/ws", "", '"event":"open"'),
    ),
    Row(
        "victoria-metrics",
        "restart",
        ("-httpListenAddr=0.0.0.0:${PORT}", "-storageDataPath=/var/lib/victoria-metrics/data"),
        page="/health",
        loses=DOWNTIME,
    ),
)  # fmt: skip
