"""HTTP/2 headers and gRPC messages: what the standards show, and anything else."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health.kinds import grpc
from ansible_collections.slipway.go.plugins.module_utils._health.net import hpack
from hypothesis import given
from hypothesis import strategies as st

# RFC 7541, appendix C.4: three requests on one connection, Huffman coded, with a dynamic table between them.
REQUESTS = (
    ("828684418cf1e3c2e5f23a6ba0ab90f4ff", ("www.example.com", None, None)),
    ("828684be5886a8eb10649cbf", ("www.example.com", "no-cache", None)),
    ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", ("www.example.com", None, "custom-value")),
)
# RFC 7541, appendix C.3: the same without Huffman.
PLAIN = (
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
)


@pytest.mark.parametrize("blocks", [[request[0] for request in REQUESTS], list(PLAIN)], ids=["huffman", "plain"])
def test_the_examples_of_the_standard(blocks: list[str]) -> None:
    decoder = hpack.Decoder()
    for block, (_block, wanted) in zip(blocks, REQUESTS):
        found = dict(decoder.decode(bytes.fromhex(block)))
        assert (found.get(":authority"), found.get("cache-control"), found.get("custom-key")) == wanted


def test_a_response_of_the_standard_with_eviction() -> None:
    # RFC 7541, appendix C.6.1, after a resize to 256 bytes as it assumes.
    block = (
        "3fe101"
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
    )
    found = hpack.Decoder().decode(bytes.fromhex(block))
    assert found == [
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ]


@given(st.lists(st.tuples(st.text("abc-:", min_size=1), st.text("xyz /%0123", max_size=300)), max_size=5))
def test_what_is_written_can_be_read(headers: list[tuple[str, str]]) -> None:
    assert hpack.Decoder().decode(hpack.encode(headers)) == headers


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_block_is_read_or_refused(blocks: list[bytes]) -> None:
    decoder = hpack.Decoder()
    with contextlib.suppress(hpack.HpackError):
        for block in blocks:
            decoder.decode(block)
    assert sum(len(name) + len(value) + 32 for name, value in decoder._dynamic) <= hpack.TABLE_SIZE


@pytest.mark.parametrize("block", ["80", "ff80808080", "0005", "008161", "00018c616161", "3fffff7f", "c6", "1f"])
def test_broken_blocks_are_refused(block: str) -> None:
    with pytest.raises(hpack.HpackError):
        hpack.Decoder().decode(bytes.fromhex(block))


def test_a_block_that_unpacks_without_end_is_refused() -> None:
    # One large entry, then a byte for each repetition of it.
    bomb = b"\x40\x01a\x7f\xe0\x1e" + b"x" * 4063 + b"\xbe" * 99
    with pytest.raises(hpack.HpackError, match="too large"):
        hpack.Decoder().decode(bomb)


@pytest.mark.parametrize(
    ("message", "serving"),
    [
        ("00000000020801", 1),
        ("00000000020802", 2),
        ("0000000000", 0),
        ("000000000508011a0178", 1),
        ("00000000041007" + "0801", 1),
        ("0100000002" + "0801", None),
        ("0000000003" + "0801", None),
        ("00000000010b", None),
        ("000000000b08" + "ff" * 10, None),
        ("", None),
    ],
)
def test_health_answers(message: str, serving: int | None) -> None:
    assert grpc._serving(bytes.fromhex(message)) == serving


@given(st.binary(max_size=30))
def test_any_message_has_an_answer_or_none(message: bytes) -> None:
    found = grpc._serving(len(message).to_bytes(5, "big") + message)
    assert found is None or found >= 0


def test_the_request_names_the_service() -> None:
    assert grpc._request("") == bytes(5)
    assert grpc._request("a.B") == bytes.fromhex("00000000050a03") + b"a.B"
    long = "x" * 300
    assert grpc._request(long)[5:8] == b"\x0a\xac\x02"
