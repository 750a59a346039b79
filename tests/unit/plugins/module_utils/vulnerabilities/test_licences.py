# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.licences import judge_licences, parse_sbom

DIGEST = "ab" * 32


def sbom(*licences, digest=DIGEST):
    components = [
        {"name": f"m{number}", "version": "v1", "licenses": one} for number, one in enumerate(licences) if one != []
    ]
    components += [{"name": "silent"} for one in licences if one == []]
    component = {"hashes": [{"alg": "SHA-256", "content": digest}]}
    return {"bomFormat": "CycloneDX", "metadata": {"component": component}, "components": components}


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ({"license": {"id": "MIT"}}, False),
        ({"license": {"id": "AGPL-3.0-only"}}, True),
        ({"license": {"name": "agpl-3.0-only"}}, True),
        ({"expression": "MIT OR AGPL-3.0-only"}, False),
        ({"expression": "MIT AND AGPL-3.0-only"}, True),
        ({"expression": "(MIT OR AGPL-3.0-only) AND BSD-3-Clause"}, True),
        ({"expression": "AGPL-3.0-only WITH Classpath-exception-2.0"}, True),
    ],
)
def test_a_denied_licence(licence, refused):
    found = judge_licences(sbom([licence]), DIGEST, ["AGPL-3.0-only"])
    assert found.judged
    assert [one.code for one in found.problems] == ["policy_denied_licence"] * refused


def test_without_licences_nothing_is_judged_and_that_is_said():
    found = judge_licences(sbom([], []), DIGEST, ["MIT"])
    assert (found.judged, found.why_not, found.unnamed) == (False, "the SBOM names no licence", ("silent", "silent"))


def test_the_sbom_of_another_program_judges_nothing():
    found = judge_licences(sbom([{"license": {"id": "MIT"}}], digest="00" * 32), DIGEST, ["MIT"])
    assert (found.judged, found.problems) == (False, ())


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "[" * 100_000, '{"bomFormat": "SPDX"}'])
def test_what_is_no_sbom(text):
    with pytest.raises(SlipwayError) as caught:
        parse_sbom(text, "sbom.json")
    assert caught.value.code == "sbom_syntax"
