"""Merkle trees as in RFC 6962 (certificate transparency): SHA-256, with leaves and nodes hashed differently.

`peaks` are the roots of the complete subtrees of a tree, the largest first: all that is needed to add a leaf and to
know the root.
"""

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(content: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node with two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def with_leaf(peaks: Sequence[bytes], size: int, leaf: bytes) -> tuple[bytes, ...]:
    """Return the peaks of a tree of `size` leaves after one more leaf."""
    grown = [*peaks, leaf]
    while size & 1:
        right, left = grown.pop(), grown.pop()
        grown.append(node_hash(left, right))
        size >>= 1
    return tuple(grown)


def root_of(peaks: Sequence[bytes]) -> bytes:
    """Return the root of the tree that has these peaks."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the hashes that prove that the leaf at `index` is in the tree, from the leaf to the root."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return [*inclusion_path(left, index), _root(right)]
    return [*inclusion_path(right, index - split), _root(left)]


def root_by_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root to which a path leads from the leaf at `index` of `size`; None if it has another length."""
    if size == 1:
        return None if path else leaf
    if not path:
        return None
    split = _split(size)
    if index < split:
        left = root_by_path(leaf, index, split, path[:-1])
        return None if left is None else node_hash(left, path[-1])
    right = root_by_path(leaf, index - split, size - split, path[:-1])
    return None if right is None else node_hash(path[-1], right)


def _split(size: int) -> int:
    """Return the number of leaves of the left subtree: the largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _root(leaves: Sequence[bytes]) -> bytes:
    peaks: tuple[bytes, ...] = ()
    for size, leaf in enumerate(leaves):
        peaks = with_leaf(peaks, size, leaf)
    return root_of(peaks)
