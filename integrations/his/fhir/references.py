"""Whom and what a resource speaks of: patients by their identifiers, visits and charges by references."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl

from msgspec import Struct

from backend.i18n import Text
from backend.services.medical_credit.model.problems import VisitChanged
from backend.services.medical_credit.model.visit import Visit, visit_id
from integrations.his import mapping
from integrations.his.fhir.exchange import Desk, Json
from integrations.his.fhir.outcome import unprocessable

OF_A_VISIT = ("Encounter", "Account", "Invoice")
"""The kinds whose id is the visit's."""


class Target(Struct, frozen=True):
    """What a reference leads to: a visit, or in it the `line` of this name, or the one at this `place` (from 1)."""

    kind: str
    visit: str
    number: str = ""
    line: str | None = None
    place: int = 0


References = Mapping[str, Target]
"""What the `fullUrl`s of a bundle stand for."""


def target_of_number(desk: Desk, number: str, kind: str = "Encounter") -> Target:
    """Give the visit of this number, whether it was opened or not."""
    return Target(kind, visit_id(desk.hospital.id, number), number)


def follow(desk: Desk, given: object, kinds: Sequence[str], references: References, path: str) -> Target:
    """Follow a reference. Raises Unprocessable where it leads to nothing of these kinds."""
    reference = cast("Json", given) if isinstance(given, dict) else {}
    text = reference.get("reference")
    if isinstance(text, str):
        found = references.get(text) or _target(desk, text.removeprefix(desk.base + "/"))
    else:
        value = cast("Json", reference.get("identifier") or {}).get("value")
        found = None if value is None else _named(desk, str(reference.get("type") or kinds[0]), str(value))
    if found is None or found.kind not in kinds:
        raise unprocessable(
            path,
            Text(zh="引用无法识别。", en=f"This must refer to one of {', '.join(kinds)}, by id or by identifier."),
            "required" if not reference else "not-found",
        )
    return found


def _target(desk: Desk, text: str) -> Target | None:
    """Read `Type/id`, `Type/id/_history/1` or, as in bundles, `Type?identifier=...`."""
    kind, conditional, query = text.partition("?")
    if conditional:
        named = dict(parse_qsl(query)).get("identifier")
        return None if named is None else _named(desk, kind, named.rpartition("|")[2])
    kind, _, rest = text.partition("/")
    key = rest.partition("/")[0]
    if kind in OF_A_VISIT:
        return Target(kind, key)
    visit, _, place = key.rpartition("-")
    if kind == "ChargeItem" and place.isdecimal():
        return Target(kind, visit, place=int(place[:6]))
    return None


def _named(desk: Desk, kind: str, value: str) -> Target | None:
    if kind in OF_A_VISIT:
        return target_of_number(desk, value, kind)
    return Target(kind, "", line=value) if kind == "ChargeItem" else None


def visit_of(desk: Desk, body: Json, names: Sequence[str], references: References, kind: str) -> Target:
    """Give the visit of which a resource speaks; where it names it more than once, all must agree."""
    found: dict[str, Target] = {}
    for name in names:
        for reference in dicts(body, name) or ([body[name]] if body.get(name) else []):
            target = follow(desk, reference, OF_A_VISIT, references, f"{kind}.{name}")
            found[target.visit] = target
    if len(found) > 1:
        raise unprocessable(
            f"{kind}.{names[-1]}", Text(zh="指向了不同的就诊。", en="These references lead to different visits.")
        )
    if not found:
        raise unprocessable(
            f"{kind}.{names[0]}", Text(zh="缺少所属就诊。", en="Say of which visit this is."), "required"
        )
    return found.popitem()[1]


class Who(Struct, frozen=True):
    """Whom a resource is about: their ID number, or what this hospital calls them; neither if it does not say."""

    id_number: str | None = None
    called: str | None = None

    def must_be_patient_of(self, desk: Desk, visit: Visit) -> None:
        """Refuse a resource that calls somebody else the patient. Raises VisitChanged."""
        if self.called is not None and self.called != desk.patient(visit.person):
            raise another_patient()


def another_patient() -> VisitChanged:
    """Give the Problem for a resource about somebody else than its visit."""
    return VisitChanged(Text(zh="就诊人与该就诊不符。", en="This visit is another patient's."))


def patient_of(desk: Desk, given: object, body: Json, path: str) -> Who:
    """Read whom a reference means, by identifier: in itself, or in a contained Patient."""
    reference = cast("Json", given) if isinstance(given, dict) else {}
    identifiers = [cast("Json", reference["identifier"])] if isinstance(reference.get("identifier"), dict) else []
    text = reference.get("reference")
    if isinstance(text, str) and text.startswith("#"):
        contained = [one for one in dicts(body, "contained") if one.get("id") == text[1:]]
        identifiers.extend(one for patient in contained for one in dicts(patient, "identifier"))
    for identifier in identifiers:
        value, system = identifier.get("value"), identifier.get("system")
        if isinstance(value, str) and system == desk.system("patient"):
            return Who(called=value)
        if isinstance(value, str) and (system in (None, mapping.ID_NUMBER_SYSTEM) or _is_national(identifier)):
            return Who(id_number=mapping.id_number_of(value))
    if reference and (identifiers or text):
        raise unprocessable(
            path,
            Text(
                zh="请以居民身份证号标识患者。",
                en=f"Name the patient by an identifier of {mapping.ID_NUMBER_SYSTEM}, or as they were shown.",
            ),
        )
    return Who()


def _is_national(identifier: Json) -> bool:
    codes = [coding.get("code") for coding in dicts(identifier.get("type"), "coding")]
    return "NNCHN" in codes or "NI" in codes


def identifier_of(body: Json, system: str) -> str | None:
    """Give the hospital's own name for a resource: in our system, or else the official one, or else the first.

    Each hospital has one sequence of numbers for each thing, so any system is taken and none is compared.
    """
    found = [one for one in dicts(body, "identifier") if isinstance(one.get("value"), str)]
    ours = [one for one in found if one.get("system") == system]
    official = [one for one in found if one.get("use") == "official"]
    best = (*ours, *official, *found)
    return best[0]["value"] if best else None


def dicts(body: object, name: str) -> list[dict[str, Any]]:
    """Give the objects in a list of a resource; nothing where there is none."""
    listed: object = cast("Json", body).get(name) if isinstance(body, dict) else None
    return (
        [cast("Json", one) for one in cast("list[object]", listed) if isinstance(one, dict)]
        if isinstance(listed, list)
        else []
    )
