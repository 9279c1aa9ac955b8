import base64
import os
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument
from backend.city.person import new_person
from backend.security import keyring as keys_module
from backend.security.field_encryption import FieldEncryption, UndecryptableField, UnknownFieldKey
from backend.security.keyring import Keyring, make_keys, rotate
from backend.store.place import Place

NOW = datetime(2022, 5, 20, tzinfo=UTC)
PLACE = Place("profiles", "p-1", "name")
PLACES = [
    PLACE,
    Place("profiles", "p-2", "name"),
    Place("profiles", "p-1", "id_number"),
    Place("accounts", "p-1", "name"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(keys_module, "REFRESH_SECONDS", -1.0)
    make_keys(tmp_path)
    return tmp_path


@pytest.fixture
def encryption(folder: Path) -> FieldEncryption:
    return FieldEncryption(Keyring.open(folder))


def unbound(encryption: FieldEncryption, text: str) -> str:
    """Return a value as editions before the binding encrypted it."""
    key, nonce = encryption._keyring.current("field"), os.urandom(12)
    encrypted = nonce + AESGCM(key.material).encrypt(nonce, text.encode(), key.kid.encode())
    return f"{key.kid}.{base64.urlsafe_b64encode(encrypted).decode()}"


def test_an_encrypted_text_can_be_decrypted_and_differs_each_time(encryption: FieldEncryption) -> None:
    one, other = encryption.encrypt("张三", PLACE), encryption.encrypt("张三", PLACE)
    assert one != other
    assert "张三" not in one
    assert encryption.decrypt(one, PLACE) == encryption.decrypt(other, PLACE) == "张三"


@pytest.mark.parametrize("changed", ["", "x", "zzzz.AAAA", "张.三", "zzzz:AAAA", "张:三", ":", "."])
@pytest.mark.parametrize("reads_unbound", [False, True])
def test_a_text_that_was_never_encrypted_is_refused(
    encryption: FieldEncryption, changed: str, reads_unbound: bool
) -> None:
    encryption.reads_unbound = reads_unbound
    with pytest.raises(UndecryptableField):
        encryption.decrypt(changed, PLACE)


def test_a_changed_encrypted_text_is_refused(encryption: FieldEncryption) -> None:
    encrypted = encryption.encrypt("33010619900307001X", PLACE)
    for place in (7, 20, len(encrypted) - 8):
        changed = encrypted[:place] + ("A" if encrypted[place] != "A" else "B") + encrypted[place + 1 :]
        with pytest.raises(UndecryptableField):
            encryption.decrypt(changed, PLACE)


@pytest.mark.parametrize(("written", "copied"), list(permutations(PLACES, 2)))
def test_a_value_copied_to_another_collection_document_or_field_is_refused(
    encryption: FieldEncryption, written: Place, copied: Place
) -> None:
    encryption.reads_unbound = True
    with pytest.raises(UndecryptableField):
        encryption.decrypt(encryption.encrypt("张三", written), copied)


def test_a_field_of_one_person_does_not_decrypt_in_another(encryption: FieldEncryption) -> None:
    one, other = (new_person(encryption, IdentityDocument(f"EA123456{n}", "passport"), f"p-{n}", NOW) for n in (1, 2))
    assert encryption.read(one, "id_number") == "passport:EA1234561"
    with pytest.raises(UndecryptableField):
        encryption.read(replace(other, id_number=one.id_number), "id_number")
    with pytest.raises(UndecryptableField):
        encryption.read(replace(one, name=one.id_number), "name")


def test_a_bound_value_cannot_be_passed_off_as_one_of_an_earlier_edition(encryption: FieldEncryption) -> None:
    encryption.reads_unbound = True
    encrypted = encryption.encrypt("张三", PLACE)
    with pytest.raises(UndecryptableField):
        encryption.decrypt(encrypted.replace(":", "."), PLACE)
    with pytest.raises(UndecryptableField):
        encryption.decrypt(unbound(encryption, "张三").replace(".", ":"), PLACE)


def test_a_value_of_an_earlier_edition_is_read_only_until_all_are_bound(encryption: FieldEncryption) -> None:
    old = unbound(encryption, "张三")
    encryption.reads_unbound = True
    assert encryption.decrypt(old, PLACE) == "张三"
    encryption.reads_unbound = False
    with pytest.raises(UndecryptableField, match="chengma migrate"):
        encryption.decrypt(old, PLACE)
    bound = encryption.rebind(old, PLACE)
    assert encryption.decrypt(bound, PLACE) == "张三"
    assert encryption.rebind(bound, PLACE) == bound


def test_a_changed_value_of_an_earlier_edition_stays_unreadable_and_is_reported(
    encryption: FieldEncryption, caplog: pytest.LogCaptureFixture
) -> None:
    old = unbound(encryption, "张三")
    changed = old[:-8] + ("A" if old[-8] != "A" else "B") + old[-7:]
    assert encryption.rebind(changed, PLACE) == changed
    assert caplog.messages == ["profiles/p-1/name cannot be decrypted, and is left as it is"]


def test_a_value_whose_key_is_missing_is_not_rebound(encryption: FieldEncryption) -> None:
    with pytest.raises(UnknownFieldKey, match="profiles/p-1/name: there is no field key 'lost': correct CHENGMA_KEYS"):
        encryption.rebind("lost.AAAA", PLACE)


def test_after_a_rotation_old_values_are_always_decrypted_and_people_are_still_found(
    folder: Path, encryption: FieldEncryption
) -> None:
    encrypted, digest = encryption.encrypt("张三", PLACE), encryption.digest("name", "张三")
    new_key = rotate(folder, "field", NOW, timedelta(hours=1))
    assert encryption.encrypt("李四", PLACE).startswith(f"{new_key.kid}:")
    assert encryption.decrypt(encrypted, PLACE) == "张三"
    assert encryption.digest("name", "张三") == digest


def test_a_digest_depends_on_its_kind_and_on_the_citys_key(encryption: FieldEncryption, tmp_path: Path) -> None:
    assert encryption.digest("phone", "1") == encryption.digest("phone", "1")
    assert encryption.digest("phone", "1") != encryption.digest("id-number", "1")
    make_keys(tmp_path / "other")
    assert FieldEncryption(Keyring.open(tmp_path / "other")).digest("phone", "1") != encryption.digest("phone", "1")
