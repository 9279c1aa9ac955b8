from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend import keys as keys_module
from backend.keys import Keyring, make_keys, rotate
from backend.sealing import Sealer, Unsealable

NOW = datetime(2022, 5, 20, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(keys_module, "LOOK_AGAIN_SECONDS", -1.0)
    make_keys(tmp_path)
    return tmp_path


@pytest.fixture
def sealer(folder: Path) -> Sealer:
    return Sealer(Keyring.open(folder))


def test_what_was_sealed_can_be_read_again_and_looks_different_each_time(sealer: Sealer) -> None:
    one, other = sealer.seal("张三"), sealer.seal("张三")
    assert one != other
    assert "张三" not in one
    assert sealer.unseal(one) == sealer.unseal(other) == "张三"


@pytest.mark.parametrize("changed", ["", "x", "zzzz.AAAA", "张.三"])
def test_what_was_never_sealed_is_refused(sealer: Sealer, changed: str) -> None:
    with pytest.raises(Unsealable):
        sealer.unseal(changed)


def test_a_changed_seal_is_refused(sealer: Sealer) -> None:
    sealed = sealer.seal("33010619900307001X")
    for place in (7, 20, len(sealed) - 8):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(Unsealable):
            sealer.unseal(changed)


def test_after_a_rotation_old_seals_are_read_for_ever_and_people_are_still_found(folder: Path, sealer: Sealer) -> None:
    sealed, digest = sealer.seal("张三"), sealer.digest("name", "张三")
    made = rotate(folder, "field", NOW, timedelta(hours=1))
    assert sealer.seal("李四").startswith(f"{made.kid}.")
    assert sealer.unseal(sealed) == "张三"
    assert sealer.digest("name", "张三") == digest


def test_a_digest_is_kept_apart_by_its_kind_and_by_the_citys_key(sealer: Sealer, tmp_path: Path) -> None:
    assert sealer.digest("phone", "1") == sealer.digest("phone", "1")
    assert sealer.digest("phone", "1") != sealer.digest("id-number", "1")
    make_keys(tmp_path / "other")
    assert Sealer(Keyring.open(tmp_path / "other")).digest("phone", "1") != sealer.digest("phone", "1")
