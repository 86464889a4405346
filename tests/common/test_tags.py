"""Search tags: equal where the folded parts are equal and of one kind, and only there."""

import hashlib

from hypothesis import assume, given
from hypothesis import strategies as st

from common.sealing import MasterKey
from common.tags import TAG_BYTES, TagKeys
from tests.conftest import MASTER

TAGS = TagKeys(MASTER)
PARTS = st.lists(st.text(max_size=8), min_size=1, max_size=3)


@given(parts=PARTS)
def test_equal_parts_of_one_kind_have_the_same_tag_in_every_process(parts: list[str]) -> None:
    # Fails when a tag holds anything random or a process's own.
    assert TAGS.tag("name", *parts) == TagKeys(MASTER).tag("name", *parts)
    assert len(TAGS.tag("name", *parts)) == TAG_BYTES


@given(parts=PARTS)
def test_the_same_parts_of_another_kind_have_another_tag(parts: list[str]) -> None:
    # Fails when all kinds share a key: a birth date would match a document number.
    kinds = ["name", "name_birth", "document", "phone"]

    assert len({TAGS.tag(kind, *parts) for kind in kinds}) == len(kinds)


@given(one=PARTS, other=PARTS)
def test_other_parts_have_another_tag_however_they_are_cut(
    one: list[str], other: list[str]
) -> None:
    # Fails when parts are joined without their lengths: ("ab", "c") would match ("a", "bc").
    assume(one != other)

    assert TAGS.tag("name", *one) != TAGS.tag("name", *other)


def test_parts_cut_elsewhere_are_other_parts() -> None:
    # The same mistake, with the pair that shows it.
    assert TAGS.tag("name", "ab", "c") != TAGS.tag("name", "a", "bc") != TAGS.tag("name", "abc")


def test_without_the_master_key_a_tag_tells_nothing() -> None:
    # Fails when the tag is a bare hash: who has the database could try every name.
    tag = TAGS.tag("name", "ana markovic")

    assert tag != TagKeys(MasterKey(bytes(32))).tag("name", "ana markovic")
    for guess in (b"ana markovic", b"\x00\x00\x00\x0cana markovic"):
        assert tag not in hashlib.sha256(guess).digest()
