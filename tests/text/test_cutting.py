from hypothesis import given
from hypothesis import strategies as st

from sonho.text.cutting import REACH_CHARS, in_blocks, recut


@given(st.lists(st.text(max_size=9)), st.integers(1, 5))
def test_blocks_joined_are_the_chunks_joined_and_none_is_too_long(chunks, size):
    blocks = list(in_blocks(chunks, size))
    assert "".join(blocks) == "".join(chunks)
    assert all(len(block) == size for block in blocks[:-1])
    assert all(1 <= len(block) <= size for block in blocks)


@given(st.lists(st.text("ab ", max_size=9)))
def test_recut_chunks_are_cut_only_where_it_is_allowed(chunks):
    pieces = list(recut(chunks, lambda before, after: before == "a" and after == " "))
    assert "".join(pieces) == "".join(chunks)
    assert all(piece.endswith("a") for piece in pieces[:-1])
    assert all(piece.startswith(" ") for piece in pieces[1:])


def test_a_stretch_without_a_safe_place_does_not_pile_up_in_memory():
    pieces = list(recut(["x" * 1000] * 50, lambda before, after: False))
    assert "".join(pieces) == "x" * 50_000
    assert max(map(len, pieces)) <= REACH_CHARS + 1000
