"""A real gRPC server with its own health servicer: plaintext, TLS, mutual TLS, unix."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.slipway.go.tests.integration.health.asking import once
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile

grpc = pytest.importorskip("grpc")
health = pytest.importorskip("grpc_health.v1.health")
health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")
health_pb2_grpc = pytest.importorskip("grpc_health.v1.health_pb2_grpc")

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Server:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = hostile.make_certificates(folder)
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.servicer = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.servicer, self.server)
        self.plain = self.server.add_insecure_port("127.0.0.1:0")
        self.six = self._six()
        self.server.add_insecure_port(f"unix:{folder}/grpc.sock")
        self.tls = self.server.add_secure_port("127.0.0.1:0", self._credentials(False))
        self.mutual = self.server.add_secure_port("127.0.0.1:0", self._credentials(True))
        self.server.start()

    def _six(self) -> int:
        with contextlib.suppress(RuntimeError):
            return int(self.server.add_insecure_port("[::1]:0"))
        return 0

    def _credentials(self, mutual: bool) -> Any:
        pem = Path(self.certificates.good).read_bytes()
        authority = Path(self.certificates.ca).read_bytes()
        return grpc.ssl_server_credentials([(pem, pem)], authority if mutual else None, mutual)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("grpc"))
    made.servicer.set("shop.Orders", SERVING)
    made.servicer.set("shop.Broken", NOT_SERVING)
    yield made
    made.server.stop(None)


def asked(address: str, **options: Any) -> dict[str, Any]:
    return once(kind="grpc", address=address, **options)


def test_plaintext(server: Server) -> None:
    found = asked(f"127.0.0.1:{server.plain}")
    assert (found["state"], found["details"]) == ("pass", {"serving": "SERVING"}), found


def test_ipv6(server: Server) -> None:
    if not server.six:
        pytest.skip("no IPv6 loopback")
    assert asked(f"[::1]:{server.six}")["state"] == "pass"


@pytest.mark.parametrize(
    ("service", "state", "words"),
    [
        ("shop.Orders", "pass", "SERVING"),
        ("shop.Broken", "fail", "NOT_SERVING"),
        ("shop.Missing", "fail", "NOT_FOUND"),
        ("ümläut." + "x" * 300, "fail", "NOT_FOUND"),
    ],
)
def test_a_service_by_name(server: Server, service: str, state: str, words: str) -> None:
    found = asked(f"127.0.0.1:{server.plain}", service=service)
    assert found["state"] == state
    assert words in found["message"]
    assert found["reason"] == ("ok" if state == "pass" else "status")


def test_unix_bound_to_its_process(server: Server) -> None:
    wanted = {"executable": os.path.realpath(sys.executable)}
    found = asked(f"{server.folder}/grpc.sock", identity=wanted)
    assert (found["state"], found["process"]["pid"]) == ("pass", os.getpid()), found
    assert asked(f"{server.folder}/grpc.sock", identity={"executable": "/bin/true"})["reason"] == "identity"


def test_tcp_bound_to_its_process(server: Server) -> None:
    wanted = {"executable": os.path.realpath(sys.executable)}
    found = asked(f"127.0.0.1:{server.plain}", identity=wanted, min_healthy_time=0.3, interval=0.1)
    assert (found["state"], found["process"]["pid"]) == ("pass", os.getpid()), found


def test_tls(server: Server) -> None:
    address = f"127.0.0.1:{server.tls}"
    found = asked(address, tls=True, ca_file=server.certificates.ca)
    assert found["state"] == "pass", found
    assert found["certificate_days"] == pytest.approx(365, abs=1)
    assert asked(address, tls=True)["reason"] == "tls"
    assert asked(address, tls=True, validate_certs=False)["state"] == "pass"
    assert asked(address, tls=True, ca_file=server.certificates.ca, server_name="other.example")["reason"] == "tls"
    assert asked(address, timeout=2)["state"] == "fail"


def test_mutual_tls(server: Server) -> None:
    address = f"127.0.0.1:{server.mutual}"
    base = {"tls": True, "ca_file": server.certificates.ca}
    assert asked(address, **base, client_cert=server.certificates.client)["state"] == "pass"
    assert asked(address, **base, timeout=2)["reason"] in ("tls", "reset", "closed")


def test_a_server_without_the_health_service() -> None:
    bare = grpc.server(futures.ThreadPoolExecutor(1))
    port = bare.add_insecure_port("127.0.0.1:0")
    bare.start()
    found = asked(f"127.0.0.1:{port}")
    bare.stop(None)
    assert found["reason"] == "status"
    assert "UNIMPLEMENTED" in found["message"]


def test_a_server_that_answers_too_late() -> None:
    class Slow(health.HealthServicer):  # type: ignore[misc,name-defined]
        def Check(self, request: Any, context: Any) -> Any:
            time.sleep(3)
            return super().Check(request, context)

    slow = grpc.server(futures.ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(Slow(), slow)
    port = slow.add_insecure_port("127.0.0.1:0")
    slow.start()
    began = time.monotonic()
    found = asked(f"127.0.0.1:{port}", timeout=1)
    elapsed = time.monotonic() - began
    slow.stop(None)
    assert found["reason"] == "timeout"
    assert elapsed < 1.5


def test_a_server_that_is_stopping() -> None:
    ending = grpc.server(futures.ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, ending)
    port = ending.add_insecure_port("127.0.0.1:0")
    ending.start()
    assert asked(f"127.0.0.1:{port}")["state"] == "pass"
    servicer.enter_graceful_shutdown()
    assert asked(f"127.0.0.1:{port}")["reason"] == "status"
    ending.stop(None).wait()
    assert asked(f"127.0.0.1:{port}")["reason"] == "refused"


def test_many_at_once(server: Server) -> None:
    states: list[str] = []

    def ask() -> None:
        for _number in range(20):
            states.append(asked(f"127.0.0.1:{server.plain}", service="shop.Orders")["state"])

    threads = [threading.Thread(target=ask) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == ["pass"] * 80
