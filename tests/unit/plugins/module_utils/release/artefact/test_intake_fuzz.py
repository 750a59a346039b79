# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first of the mutations that `make fuzz-intake` tries at length."""

from __future__ import annotations

from ansible_collections.slipway.go.plugins.module_utils._release.artefact import checksums, dsse, minisign
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.artefact import intake_fuzz


def test_whatever_is_damaged_is_refused_in_one_sentence_or_says_what_was_signed():
    verdicts, wrong = intake_fuzz.run(3300, 1)
    assert not wrong, wrong[0]
    refused = {name for name in verdicts if name.endswith("refused")}
    assert len(refused) == 10, "a manifest beside an artefact is never refused, and everything else sometimes"


def test_it_would_notice(monkeypatch):
    """What a parser that trusts its input would do."""
    monkeypatch.setattr(checksums, "find_checksum", lambda said, *_others: said.split()[0])
    monkeypatch.setattr(dsse, "parse", lambda said: dsse.Envelope("", said.index("signatures"), ()))
    monkeypatch.setattr(minisign, "signed_by", lambda *_given: None)
    wrong = intake_fuzz.run(330, 1)[1]
    for kind, word in (("checksums", "is '"), ("envelope", "Traceback"), ("minisign", "has the comment")):
        assert any(line.startswith(kind) and word in line for line in wrong), kind
