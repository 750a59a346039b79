# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A provenance is believed when somebody trusted has signed it, it is about this artefact, and it says what is allowed.

The signatures are made here by another implementation of Ed25519 (cryptography) and by ssh-keygen itself.
"""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import dsse, provenance, sshsig
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.provenance import Policy
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SHA256 = "ab" * 32
OTHER = "cd" * 32
TYPE = dsse.PAYLOAD_TYPE
BUILDER, REPOSITORY, REF = "https://ci.example.com/release", "https://git.example.com/shop", "refs/tags/v2.0.0"
COMMIT = "4f1c2d3e" * 5
MUTATIONS = int(os.environ.get("SLIPWAY_PROVENANCE_MUTATIONS", "20000"))
needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


class Key:
    """A key of minisign, which signs plainly."""

    def __init__(self, identity):
        self._key = Ed25519PrivateKey.from_private_bytes(identity * 4)
        self.name = f"{int.from_bytes(identity, 'little'):016X}"
        self.public = base64.b64encode(b"Ed" + identity + self._key.public_key().public_bytes_raw()).decode()

    def sign(self, message):
        return self._key.sign(message)


KEY, SECOND, STRANGER = Key(b"slipway1"), Key(b"slipway2"), Key(b"stranger")
TRUST = Trust(keys=(KEY.public, SECOND.public))


def statement(**changes):
    """A good one; a change names where by __, and None takes away."""
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "shop-linux-amd64", "digest": {"sha256": SHA256}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": provenance.BUILD_TYPE,
                "externalParameters": {"source": {"repository": REPOSITORY, "ref": REF}, "version": "2.0.0"},
                "resolvedDependencies": [{"uri": f"git+{REPOSITORY}@{REF}", "digest": {"gitCommit": COMMIT}}],
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }
    for path, value in changes.items():
        *above, last = path.split("__")
        place = document
        for name in above:
            place = place[int(name)] if isinstance(place, list) else place[name]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return json.dumps(document).encode()


def b64(data):
    return base64.b64encode(data).decode()


def envelope(content=None, /, *, key=KEY, kind=TYPE, **fields):
    """A good one; fields replace its own, and None takes one away."""
    payload = statement() if content is None else content
    document = {
        "payloadType": kind,
        "payload": b64(payload),
        "signatures": [{"keyid": key.name, "sig": b64(key.sign(dsse.pae(kind, payload)))}],
        **fields,
    }
    return json.dumps({name: value for name, value in document.items() if value is not None})


def sig(payload=None, key=KEY, keyid=None, kind=TYPE):
    payload = statement() if payload is None else payload
    return {"keyid": key.name if keyid is None else keyid, "sig": b64(key.sign(dsse.pae(kind, payload)))}


def no_folder():
    raise AssertionError("a signature of minisign needs no file")


def verify(text, trust=TRUST, policy=None, sha256=SHA256, folder=no_folder):
    return provenance.verify(text, sha256, trust, policy or Policy(), folder)


GOOD = f"minisign {KEY.name}", BUILDER, REPOSITORY, REF, COMMIT, "2.0.0"


@pytest.mark.parametrize(
    "text",
    [
        envelope(),
        envelope() + "\n",
        json.dumps(json.loads(envelope()), indent=2),
        envelope(other=1),
        envelope(signatures=[sig(keyid="")]),
        envelope(signatures=[{"sig": sig()["sig"]}]),
        envelope(signatures=[sig(keyid="what others call it")]),
        envelope(signatures=[sig(keyid=SECOND.name)]),
        envelope(signatures=[sig(key=STRANGER), sig()]),
        envelope(signatures=[sig(), sig(key=SECOND), sig(key=STRANGER)]),
        envelope(signatures=[{"keyid": "x", "sig": b64(b"a key of another kind")}, sig()]),
        envelope(payload=b64(statement() + b" ").replace("+", "-").replace("/", "_"),
                 signatures=[sig(statement() + b" ")]),
    ],
)  # fmt: skip
def test_what_a_trusted_key_has_signed(text):
    assert verify(text) == GOOD


def test_the_encoding_before_the_signature_is_that_of_the_standard():
    """The example of the DSSE specification, protocol.md."""
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert dsse.pae("a", "\u00e4".encode()) == b"DSSEv1 1 a 2 \xc3\xa4"


def test_a_statement_of_github():
    """https://actions.github.io/buildtypes/workflow/v1"""
    workflow = {"ref": "refs/heads/main", "repository": "https://github.com/example/shop", "path": ".github/x.yml"}
    payload = statement(
        predicate__buildDefinition__buildType="https://actions.github.io/buildtypes/workflow/v1",
        predicate__buildDefinition__externalParameters={"workflow": workflow, "version": "9.9.9"},
    )
    found = verify(envelope(payload))
    assert (found.repository, found.ref, found.version) == ("https://github.com/example/shop", "refs/heads/main", "")


def test_of_a_build_of_another_kind_no_repository_is_believed():
    payload = statement(predicate__buildDefinition__buildType="https://example.com/own@v1")
    found = verify(envelope(payload))
    assert (found.builder, found.repository, found.ref, found.version) == (BUILDER, "", "", "")
    refused(
        lambda: verify(envelope(payload), policy=Policy(repositories=("*",))),
        "policy_provenance",
        "the repository nothing",
    )


LONG = "x" * dsse.MAX_TEXT
DEEP = "[" * 60000 + "]" * 60000
INNER = base64.b64encode(statement()).decode()
FORGED = {
    "nothing": ("", "invalid_provenance"),
    "no JSON": ("DSSEv1", "invalid_provenance"),
    "a list": (f"[{envelope()}]", "invalid_provenance"),
    "a number": ("1", "invalid_provenance"),
    "two envelopes": (f"{envelope()}\n{envelope()}", "invalid_provenance"),
    "trailing data": (f"{envelope()}x", "invalid_provenance"),
    "a byte order mark": (f"\ufeff{envelope()}", "invalid_provenance"),
    "not UTF-8": (envelope().replace("keyid", "key\udcff"), "invalid_provenance"),
    "half a surrogate pair": (envelope(other="\ud800"), "invalid_provenance"),
    "a key twice": (envelope()[:-1] + f', "payload": "{INNER}"}}', "invalid_provenance"),
    "a key of a signature twice": (envelope().replace('"keyid"', '"sig": "", "keyid"'), "invalid_provenance"),
    "no number": (envelope()[:-1] + ', "x": NaN}', "invalid_provenance"),
    "a number without end": (envelope()[:-1] + f', "x": 1{"0" * 5000}}}', "invalid_provenance"),
    "a fraction without end": (envelope()[:-1] + ', "x": 1e999}', "invalid_provenance"),
    "too deep": (f'{{"x": {DEEP}}}', "invalid_provenance"),
    "too large": (envelope(other=LONG), "invalid_provenance"),
    "no payload": (envelope(payload=None), "invalid_provenance"),
    "a payload that is no text": (envelope(payload={"a": 1}), "invalid_provenance"),
    "a payload that is no base64": (envelope(payload="=!"), "invalid_provenance"),
    "a payload with a line break": (envelope(payload=INNER[:8] + "\n" + INNER[8:]), "invalid_provenance"),
    "a payload without padding": (envelope(payload="YQ"), "invalid_provenance"),
    "a payload with stray bits": (envelope(payload="YR=="), "invalid_provenance"),
    "an empty payload": (envelope(payload=""), "invalid_provenance"),
    "no type of the payload": (envelope(payloadType=None), "invalid_provenance"),
    "another type of the payload": (envelope(kind="text/plain"), "invalid_provenance"),
    "a type that was changed after": (envelope(payloadType="text/plain"), "invalid_provenance"),
    "a payload of a type in other letters": (envelope(kind=TYPE.upper()), "invalid_provenance"),
    "no signatures": (envelope(signatures=None), "invalid_provenance"),
    "an empty list of signatures": (envelope(signatures=[]), "invalid_provenance"),
    "signatures that are no list": (envelope(signatures={"0": sig()}), "invalid_provenance"),
    "a signature that is no object": (envelope(signatures=["x"]), "invalid_provenance"),
    "a signature without sig": (envelope(signatures=[{"keyid": KEY.name}]), "invalid_provenance"),
    "a keyid that is no text": (envelope(signatures=[{"keyid": 1, "sig": "YQ=="}]), "invalid_provenance"),
    "one signature twice": (envelope(signatures=[sig(), sig(keyid="")]), "invalid_provenance"),
    "too many signatures": (
        envelope(signatures=[*({"sig": b64(b"%d" % n)} for n in range(dsse.MAX_SIGNATURES)), sig()]),
        "invalid_provenance",
    ),
    "signed by a stranger": (envelope(key=STRANGER), "unknown_signer"),
    "signed by a stranger in the name of a key": (
        envelope(signatures=[sig(key=STRANGER, keyid=KEY.name)]),
        "bad_signature",
    ),
    "the payload was changed after": (envelope(payload=b64(statement(subject__0__name="x"))), "bad_signature"),
    "the signature of another statement": (envelope(signatures=[sig(statement(subject=[]))]), "bad_signature"),
    "the payload signed without its encoding": (
        envelope(signatures=[{"keyid": KEY.name, "sig": b64(KEY.sign(statement()))}]),
        "bad_signature",
    ),
    "signed for another type": (envelope(signatures=[sig(kind="text/plain")]), "bad_signature"),
    "a short signature": (envelope(signatures=[{"keyid": KEY.name, "sig": b64(b"x" * 63)}]), "unknown_signer"),
    "zeros as a signature": (envelope(signatures=[{"keyid": KEY.name, "sig": b64(bytes(64))}]), "bad_signature"),
    "an SSH signature that nobody is trusted for": (
        envelope(signatures=[{"keyid": "x", "sig": b64(b"SSHSIG" + bytes(90))}]),
        "unknown_signer",
    ),
    "a payload that is no JSON": (envelope(b"x"), "invalid_provenance"),
    "a payload that is a list": (envelope(b"[]"), "invalid_provenance"),
    "a payload that is not UTF-8": (envelope(statement().replace(b"shop-linux", b"\xff")), "invalid_provenance"),
    "a payload with trailing data": (envelope(statement() + b"{}"), "invalid_provenance"),
    "a payload with a key twice": (
        envelope(statement()[:-1] + b', "subject": [{"digest": {"sha256": "%s"}}]}' % OTHER.encode()),
        "invalid_provenance",
    ),
    "a statement of another version": (envelope(statement(_type="https://in-toto.io/Statement/v0.1")), None),
    "a predicate of another kind": (envelope(statement(predicateType="https://slsa.dev/provenance/v0.2")), None),
    "a predicate of a bill of materials": (envelope(statement(predicateType="https://cyclonedx.org/bom")), None),
    "no subject": (envelope(statement(subject=None)), "invalid_provenance"),
    "an empty list of subjects": (envelope(statement(subject=[])), "invalid_provenance"),
    "too many subjects": (envelope(statement(subject=[{"digest": {}}] * 1001)), "invalid_provenance"),
    "a subject that is no object": (envelope(statement(subject=[SHA256])), "invalid_provenance"),
    "a subject without a digest": (envelope(statement(subject=[{"name": "shop"}])), "invalid_provenance"),
    "the statement of another artefact": (envelope(statement(subject__0__digest__sha256=OTHER)), "wrong_provenance"),
    "a digest of another kind": (envelope(statement(subject__0__digest={"sha512": SHA256})), "wrong_provenance"),
    "a digest in a list": (envelope(statement(subject__0__digest={"sha256": [SHA256]})), "wrong_provenance"),
    "a digest that begins the same": (
        envelope(statement(subject__0__digest__sha256=SHA256 + "00")),
        "wrong_provenance",
    ),
    "no predicate": (envelope(statement(predicate=None)), "invalid_provenance"),
    "no builder": (envelope(statement(predicate__runDetails__builder=None)), "invalid_provenance"),
    "a builder without a name": (envelope(statement(predicate__runDetails__builder__id="")), "invalid_provenance"),
    "a builder that is a list": (envelope(statement(predicate__runDetails__builder__id=[BUILDER])), None),
    "no type of build": (envelope(statement(predicate__buildDefinition__buildType=None)), "invalid_provenance"),
    "no parameters": (envelope(statement(predicate__buildDefinition__externalParameters=None)), None),
}


@pytest.mark.parametrize("case", FORGED)
def test_what_was_forged_or_replayed_is_refused(case):
    text, code = FORGED[case]
    error = refused(lambda: verify(text), code or "invalid_provenance", "release_provenance")
    assert len(str(error)) < 1000, "an operator reads it"


@pytest.mark.parametrize(
    ("policy", "variable"),
    [
        (Policy(builders=(BUILDER,), repositories=(REPOSITORY,), refs=(REF,)), None),
        (Policy(refs=("refs/heads/main", "refs/tags/v*")), None),
        (Policy(builders=("https://ci.example.com/*",), repositories=("*/shop",)), None),
        (Policy(builders=("https://ci.example.com/releas",)), "release_provenance_builder"),
        (Policy(builders=("https://ci.example.com",)), "release_provenance_builder"),
        (Policy(builders=("https://ci.exampleXcom/release",)), "release_provenance_builder"),
        (Policy(builders=(".*",)), "release_provenance_builder"),
        (Policy(builders=(BUILDER,), repositories=("https://git.example.com/sho?",)), "release_provenance_repository"),
        (Policy(repositories=(REPOSITORY.upper(),)), "release_provenance_repository"),
        (Policy(refs=("refs/tags/v",)), "release_provenance_ref"),
        (Policy(refs=("refs/heads/*",)), "release_provenance_ref"),
    ],
)
def test_what_is_allowed(policy, variable):
    if variable is None:
        assert verify(envelope(), policy=policy) == GOOD
    else:
        refused(lambda: verify(envelope(), policy=policy), "policy_provenance", variable)


def test_what_a_statement_does_not_say_is_not_allowed():
    payload = statement(predicate__buildDefinition__externalParameters={"source": {"repository": ["x"], "ref": ""}})
    for policy in (Policy(refs=("*",)), Policy(repositories=("*",))):
        refused(lambda policy=policy: verify(envelope(payload), policy=policy), "policy_provenance")
    assert verify(envelope(payload), policy=Policy(builders=("*",))).ref == ""


def test_nobody_is_trusted():
    refused(lambda: verify(envelope(), Trust()), "no_signer", "release_provenance is set")


def test_one_envelope_may_be_about_several_artefacts():
    payload = statement(subject=[{"digest": {"sha256": OTHER}}, {"name": "b", "digest": {"sha256": SHA256}}])
    assert verify(envelope(payload)) == GOOD
    assert verify(envelope(payload), sha256=OTHER) == GOOD
    refused(lambda: verify(envelope(payload), sha256="ef" * 32), "wrong_provenance", "one without a name, 'b'")
    refused(lambda: verify(envelope(payload), sha256=""), "wrong_provenance")


@pytest.fixture(scope="module")
def ssh(tmp_path_factory):
    """Two keys of SSH, and a function that signs with one."""
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("one", "two"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)

    def sign(name, message, namespace="file"):
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-f", folder / name, "-n", namespace]
        done = subprocess.run(argv, input=message, check=True, capture_output=True)
        return {"keyid": "SHA256:x", "sig": b64(sshsig.bare(done.stdout.decode()))}

    def trust(name, options=""):
        return Trust(allowed_signers=f"builder@example.com {options} {(folder / f'{name}.pub').read_text()}")

    return sign, trust


@needs_ssh
def test_a_signature_of_ssh(ssh, tmp_path):
    sign, trust = ssh

    def folder():
        return str(tmp_path)

    message = dsse.pae(TYPE, statement())
    good = envelope(signatures=[sig(key=STRANGER), sign("one", message)])
    found = verify(good, trust("one"), folder=folder)
    assert found.signer.startswith("ssh builder@example.com SHA256:")
    assert verify(good, trust("one", 'namespaces="file"'), folder=folder) == found
    stale = 'valid-before="20200101"'
    for text, whom, code in (
        (good, trust("two"), "bad_signature"),
        (good, trust("one", stale), "bad_signature"),
        (good, trust("one", 'namespaces="git"'), "bad_signature"),
        (envelope(signatures=[sign("one", message, "git")]), trust("one"), "bad_signature"),
        (envelope(signatures=[sign("one", statement())]), trust("one"), "bad_signature"),
        (envelope(payload=b64(statement(subject__0__name="x")), signatures=[sign("one", message)]), trust("one"),
         "bad_signature"),
        (envelope(signatures=[{"sig": b64(b"SSHSIG" + bytes(200))}]), trust("one"), "bad_signature"),
    ):  # fmt: skip
        refused(lambda text=text, whom=whom: verify(text, whom, folder=folder), code, "release_provenance ")
        assert os.listdir(tmp_path) == [], "nothing stays"
    both = envelope(signatures=[sign("two", message), sig()])
    mixed = Trust(keys=(KEY.public,), allowed_signers=trust("one").allowed_signers)
    assert verify(both, mixed, folder=folder) == GOOD, "one good signature is enough"


@pytest.mark.parametrize("blob", [b"", b"SSHSIG", bytes(300)])
def test_armour_and_back(blob):
    assert sshsig.bare(sshsig.armour(blob)) == blob
    assert sshsig.bare(sshsig.armour(blob) + "x") is None
    assert sshsig.bare("x") is None


def mutated(random_, text):
    """Something else than the text, made of it: bytes changed, taken out, doubled, moved, or words put in."""
    raw = bytearray(text.encode())
    for _count in range(random_.choice((1, 1, 1, 2, 5))):
        at, end = sorted(random_.randrange(len(raw) + 1) for _end in range(2))
        end = min(end, at + random_.choice((1, 4, 40)))
        word = random_.choice(WORDS)
        change = random_.randrange(6)
        if change == 0 and at < len(raw):
            raw[at] ^= 1 << random_.randrange(8)
        elif change == 1:
            del raw[at:end]
        elif change == 2:
            raw[at:at] = raw[at:end]
        elif change == 3:
            raw[at:end] = word
        elif change == 4:
            raw[at:at] = word
        else:
            raw = raw[:at] if random_.random() < 0.2 else raw + word
    return bytes(raw)


WORDS = (
    *(b"", b"\x00", b"\xff", b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"-1", b"1e400", b"NaN"),
    *(b"\\ud800", b"\\u0000", b'"sig"', b'"payload":"",', b'"digest":{},', b"=", b"-_", b"9" * 400, b"[" * 300),
    *(b'"subject":[],', b'"builder":[],', SHA256.encode(), OTHER.encode(), b"\xed\xa0\x80"),
)


@pytest.mark.parametrize(("inside", "share"), [(False, 0.25), (True, 0.75)])
def test_what_is_damaged_is_refused_in_one_sentence_or_says_the_same(inside, share):
    """A quarter of the mutations are of the envelope, the others of a statement that is signed after it was damaged.

    SLIPWAY_PROVENANCE_MUTATIONS gives another number of them.
    """
    random_, accepted = random.Random(7 + inside), 0
    for _number in range(int(MUTATIONS * share)):
        said = judge_damaged(mutated(random_, (statement().decode() if inside else envelope())), inside)
        said.encode()
        accepted += not said
    assert 0 < accepted < MUTATIONS * share / 2, "the mutations are not what they should be"


def judge_damaged(raw, inside):
    """Why it is refused; empty where it says the same as before, or a statement that was signed says anything."""
    try:
        if inside:
            json.dumps(provenance.read_statement(raw, SHA256).record()).encode()
        else:
            assert verify(raw.decode("utf-8", "surrogateescape"), Trust(keys=(KEY.public,))) == GOOD
    except dsse.Malformed as error:
        return str(error)
    except SlipwayError as error:
        codes = ("wrong_provenance",) if inside else ("invalid_provenance", "unknown_signer", "bad_signature")
        return str(error) if error.code in codes else pytest.fail(f"{error.code}: {error}")
    return ""
