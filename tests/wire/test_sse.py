"""Server-sent events: cut where they end, whatever the pieces they come in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.errors import UpstreamError
from feilun.wire import Event, Splitter, events, last_id, payloads

STREAM = b'id: 3-1-0\ndata: {"a": 1}\n\n: ping\n\nevent: x\r\ndata: 1\r\ndata: 2\r\n\r\ndata:[DONE]\n\n'


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_blocks_end_where_events_end(cuts: list[int]) -> None:
    """However a stream is cut, blocks together are the stream and hold whole events, at once."""
    splitter, out, fed = Splitter(), b"", b""
    ends = [0, *(n for n in range(1, len(STREAM) + 1) if STREAM[:n].endswith((b"\n\n", b"\n\r\n")))]
    places = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(places):
        fed += STREAM[start:end]
        out += splitter.feed(STREAM[start:end])
        assert len(out) == max(n for n in ends if n <= len(fed))
        assert out + splitter.rest() == fed
    assert out == STREAM


def test_a_block_without_a_rest_is_passed_on_as_it_is() -> None:
    """The usual piece, whole events, is not copied."""
    piece = b"data: 1\n\ndata: 2\n\n"
    assert Splitter().feed(piece) is piece


def test_events_have_their_fields() -> None:
    """Data of several lines is joined, a comment is no event, ids and names are told."""
    found = list(events(STREAM))
    assert found == [Event(b'{"a": 1}', b"3-1-0", b""), Event(b"1\n2", b"", b"x"), Event(b"[DONE]", b"", b"")]
    assert list(payloads(STREAM)) == [event.data for event in found]


@pytest.mark.parametrize(
    ("block", "ident"),
    [
        (STREAM, b"3-1-0"),
        (b"id: 1\ndata: x\n\nid:2\r\ndata: y\r\n\r\n", b"2"),
        (b'data: {"id: 9"}\n\n', b""),
        (b"", b""),
    ],
)
def test_the_last_id(block: bytes, ident: bytes) -> None:
    """The last id of a block is found without parsing it; what looks like one within the data is none."""
    assert last_id(block) == ident


def test_events_without_end_are_refused() -> None:
    """An event larger than the limit is an error, whether it comes at once or in drops."""
    with pytest.raises(UpstreamError):
        Splitter(100).feed(b"x" * 101)
    splitter = Splitter(100)
    assert splitter.feed(b"data: 1\n\ndata: ") == b"data: 1\n\n"
    for _ in range(47):
        assert splitter.feed(b"xx") == b""
    with pytest.raises(UpstreamError):
        splitter.feed(b"xx")
