"""How long a server's certificates are still valid, and which names they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health import parsing, runner
from ansible_collections.slipway.go.plugins.module_utils._health.net import tls
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import Attempt
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.health import hostile


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> hostile.Certificates:
    return hostile.make_certificates(tmp_path_factory.mktemp("certificates"))


def asked(certificates: hostile.Certificates, leaf: str, folder: Path, **options: Any) -> Attempt:
    listener = hostile.listen("tcp", folder)
    url = f"https://localhost:{listener.getsockname()[1]}/"
    spec = {"kind": "https", "url": url, "ca_file": certificates.ca, "family": "4", **options}
    with hostile.Server(listener, hostile.answer(hostile.OK), hostile.server_context(certificates, leaf)):
        return runner.attempt(parsing.parse_check(spec))


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(("leaf", "days"), [("good", 365), ("ending", 3), ("chained", 3)])
def test_the_days_left_are_those_of_the_whole_chain(certificates, leaf, days, verify, tmp_path) -> None:
    found = asked(certificates, leaf, tmp_path, validate_certs=verify, warn_days=7)
    assert found.certificate_days == pytest.approx(days, abs=0.1)
    assert found.state == ("pass" if days == 365 else "warn")
    if days == 3:
        assert "its certificate or one of its chain has 3.0 days left" in found.message


def test_the_authority_of_this_host_counts(certificates, tmp_path) -> None:
    """The server need not send it; where it ends, so does the service."""
    pieces = Path(certificates.chained).read_text().rpartition("-----BEGIN CERTIFICATE-----")
    (certificates.folder / "alone.pem").write_text(pieces[0])
    found = asked(certificates, "alone", tmp_path, ca_file=certificates.between, min_days=7)
    assert (found.state, found.reason) == ("fail", "tls")
    assert found.certificate_days == pytest.approx(3, abs=0.1)


def test_python_before_3_10_tells_of_the_servers_own(certificates, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tls, "hasattr", lambda *_arguments: False, raising=False)
    assert asked(certificates, "chained", tmp_path).certificate_days == pytest.approx(365, abs=0.1)


def test_a_name_in_the_subject_alone_is_none(certificates, tmp_path) -> None:
    found = asked(certificates, "common", tmp_path)
    assert (found.state, found.reason) == ("fail", "tls")
    assert "for another host name (a name in the subject alone" in found.message
    assert asked(certificates, "common", tmp_path, validate_certs=False).state == "pass"
