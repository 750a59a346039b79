# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from importlib import resources

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary import sbom
from ansible_collections.slipway.go.plugins.module_utils._binary.go_build_info import (
    BuildInfo,
    Module,
    parse_build_info,
)
from jsonschema import Draft7Validator, FormatChecker
from packageurl import PackageURL
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

SHA = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"


@pytest.fixture(scope="module")
def validator():
    folder = resources.files("cyclonedx.schema._res")

    def load(name: str) -> dict:
        return json.loads(folder.joinpath(f"{name}.SNAPSHOT.schema.json").read_text())

    registry = Registry()
    for name in ("jsf-0.82", "spdx", "cryptography-defs"):
        resource = Resource.from_contents(load(name), default_specification=DRAFT7)
        for prefix in ("", "http://cyclonedx.org/schema/"):
            for middle in ("", ".SNAPSHOT"):
                registry = registry.with_resource(f"{prefix}{name}{middle}.schema.json", resource)
    return Draft7Validator(load("bom-1.6"), registry=registry, format_checker=FormatChecker())


TEXT = (
    "path\texample.com/Shop/cmd/shop\nmod\texample.com/Shop\tv1.4.2\th1:a=\n"
    "dep\tgithub.com/BurntSushi/toml\tv1.3.2\th1:b=\ndep\texample.com/inc\tv2.0.0+incompatible\th1:c=\n"
    "dep\texample.com/old\tv1.0.0\n=>\t../local\t(devel)\t\ndep\texample.com/older\tv1.0.0\n=>\t../local\t(devel)\t\n"
    "dep\texample.com/fork\tv1.0.0\n=>\tgithub.com/me/fork\tv1.0.1\th1:d=\n"
    "build\tCGO_ENABLED=0\nbuild\tCGO_CFLAGS=\n"
)


@pytest.mark.parametrize(
    "info",
    [
        parse_build_info("go1.22.3", TEXT),
        parse_build_info("go1.24.4 X:nocoverageredesign", ""),
        parse_build_info("devel go1.28-abcdef Mon", "path\tcommand-line-arguments\n"),
        BuildInfo("go1.13", "p", Module("", ""), (Module("", "", ""),)),
    ],
)
def test_valid_by_the_published_schema(validator, info):
    document = json.loads(json.dumps(sbom.cyclonedx(info, "shop", SHA, 123)))
    assert [error.message for error in validator.iter_errors(document)] == []
    references = [component["bom-ref"] for component in document["components"]]
    assert len(set(references)) == len(references)
    assert document["dependencies"][0]["dependsOn"] == references
    for component in [document["metadata"]["component"], *document["components"]]:
        if "purl" in component:
            parsed = PackageURL.from_string(component["purl"])
            assert parsed.version == component.get("version")
            assert parsed.to_string() == component["purl"]


def test_contents():
    document = sbom.cyclonedx(parse_build_info("go1.22.3", TEXT), "shop", SHA, 123)
    main = document["metadata"]["component"]
    assert (main["name"], main["version"]) == ("example.com/Shop", "v1.4.2")
    assert main["hashes"] == [{"alg": "SHA-256", "content": SHA}]
    assert [component.get("purl") for component in document["components"]] == [
        "pkg:golang/stdlib@1.22.3",
        "pkg:golang/github.com/burntsushi/toml@v1.3.2",
        "pkg:golang/example.com/inc@v2.0.0%2Bincompatible",
        None,
        None,
        "pkg:golang/github.com/me/fork@v1.0.1",
    ]
    assert document["components"][3]["properties"] == [
        {"name": "slipway:go:replaces", "value": "example.com/old v1.0.0"}
    ]


def test_the_same_binary_gives_the_same_document():
    info = parse_build_info("go1.22.3", TEXT)
    assert sbom.cyclonedx(info, "shop", SHA, 123) == sbom.cyclonedx(info, "shop", SHA, 123)
    other = sbom.cyclonedx(info, "shop", SHA.replace("2", "3"), 123)
    assert other["serialNumber"] != sbom.cyclonedx(info, "shop", SHA, 123)["serialNumber"]
