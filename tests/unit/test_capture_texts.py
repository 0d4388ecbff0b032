"""Messages of barcode readers come whole, however the line cuts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.texts import MESSAGE_BYTES_MOST, Texts


@pytest.mark.parametrize(
    ("sent", "messages"),
    [
        (b"123\r", [b"123"]),
        (b"123\r\n456\n", [b"123", b"456"]),
        (b"\x02A\r\nB\x03", [b"A\r\nB"]),
        (b"\r\n\r\n", []),
        (b"noise\x02ID7\x03rest\r", [b"ID7", b"rest"]),
        ("张三丰\r".encode("gb18030"), ["张三丰".encode("gb18030")]),
        (b"not ended", []),
    ],
)
def test_lines_and_frames_are_cut_out(sent: bytes, messages: list[bytes]) -> None:
    assert Texts().feed(sent) == messages


word = st.binary(min_size=1, max_size=40).filter(lambda one: not set(one) & {2, 3, 10, 13})


@given(st.lists(st.tuples(word, st.sampled_from("ln")), max_size=20), st.randoms())
def test_pieces_of_any_size_give_the_same_messages(
    words: list[tuple[bytes, str]], random: object
) -> None:
    sent = b"".join(one + b"\r\n" if how == "l" else b"\x02" + one + b"\x03" for one, how in words)
    texts, found, at = Texts(), [], 0
    while at < len(sent):
        size = random.randint(1, 7)  # type: ignore[attr-defined]
        found += texts.feed(sent[at : at + size])
        at += size
    assert found == [one for one, _ in words]


def test_a_message_without_end_takes_no_memory_and_the_next_one_is_heard() -> None:
    texts = Texts()
    for _ in range(10):
        assert texts.feed(b"x" * MESSAGE_BYTES_MOST) == []
    assert texts.feed(b"\rgood\r") == [b"good"]
    assert texts.dropped == 1
