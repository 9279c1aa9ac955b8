"""Merkle trees as in RFC 6962."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.security.merkle import EMPTY_ROOT, inclusion_path, leaf_hash, root_by_path, root_of, with_leaf

CONTENTS = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "")]
CONTENTS[-1] = bytes(range(0x60, 0x70))
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
"""The roots of the first contents, from the tests of Google's certificate-transparency-go."""


def peaks_of(leaves: list[bytes]) -> tuple[bytes, ...]:
    peaks: tuple[bytes, ...] = ()
    for size, leaf in enumerate(leaves):
        peaks = with_leaf(peaks, size, leaf)
    return peaks


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_the_root_is_that_of_other_implementations(size: int, root: str) -> None:
    assert root_of(peaks_of([leaf_hash(content) for content in CONTENTS[:size]])).hex() == root


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert hashlib.sha256().digest() == EMPTY_ROOT


@given(st.integers(1, 70), st.data())
def test_the_path_of_a_leaf_leads_to_the_root_and_that_of_another_leaf_does_not(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    index, root = data.draw(st.integers(0, size - 1)), root_of(peaks_of(leaves))
    path = inclusion_path(leaves, index)
    assert root_by_path(leaves[index], index, size, path) == root
    assert root_by_path(leaf_hash(b"other"), index, size, path) != root
    assert root_by_path(leaves[index], index, size, [*path, root]) is None
    if size > 1:
        assert root_by_path(leaves[index], (index + 1) % size, size, path) != root
        assert root_by_path(leaves[index], index, size, path[:-1]) is None
