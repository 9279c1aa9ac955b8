from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.security import keyring as keys_module
from backend.security.field_encryption import FieldEncryption, UndecryptableField
from backend.security.keyring import Keyring, make_keys, rotate

NOW = datetime(2022, 5, 20, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(keys_module, "REFRESH_SECONDS", -1.0)
    make_keys(tmp_path)
    return tmp_path


@pytest.fixture
def encryption(folder: Path) -> FieldEncryption:
    return FieldEncryption(Keyring.open(folder))


def test_an_encrypted_text_can_be_decrypted_and_differs_each_time(encryption: FieldEncryption) -> None:
    one, other = encryption.encrypt("张三"), encryption.encrypt("张三")
    assert one != other
    assert "张三" not in one
    assert encryption.decrypt(one) == encryption.decrypt(other) == "张三"


@pytest.mark.parametrize("changed", ["", "x", "zzzz.AAAA", "张.三"])
def test_a_text_that_was_never_encrypted_is_refused(encryption: FieldEncryption, changed: str) -> None:
    with pytest.raises(UndecryptableField):
        encryption.decrypt(changed)


def test_a_changed_encrypted_text_is_refused(encryption: FieldEncryption) -> None:
    encrypted = encryption.encrypt("33010619900307001X")
    for place in (7, 20, len(encrypted) - 8):
        changed = encrypted[:place] + ("A" if encrypted[place] != "A" else "B") + encrypted[place + 1 :]
        with pytest.raises(UndecryptableField):
            encryption.decrypt(changed)


def test_after_a_rotation_old_values_are_always_decrypted_and_people_are_still_found(
    folder: Path, encryption: FieldEncryption
) -> None:
    encrypted, digest = encryption.encrypt("张三"), encryption.digest("name", "张三")
    new_key = rotate(folder, "field", NOW, timedelta(hours=1))
    assert encryption.encrypt("李四").startswith(f"{new_key.kid}.")
    assert encryption.decrypt(encrypted) == "张三"
    assert encryption.digest("name", "张三") == digest


def test_a_digest_depends_on_its_kind_and_on_the_citys_key(encryption: FieldEncryption, tmp_path: Path) -> None:
    assert encryption.digest("phone", "1") == encryption.digest("phone", "1")
    assert encryption.digest("phone", "1") != encryption.digest("id-number", "1")
    make_keys(tmp_path / "other")
    assert FieldEncryption(Keyring.open(tmp_path / "other")).digest("phone", "1") != encryption.digest("phone", "1")
