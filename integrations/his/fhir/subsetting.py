"""Parts of a resource that a client asks for with `_elements`, and the tag that marks a resource as such a part."""

from collections.abc import Sequence

from integrations.his.fhir.representation import Json

_ALWAYS = ("resourceType", "id", "meta")
_MANDATORY = {
    "Account": ("status",),
    "ChargeItem": ("status", "code", "subject"),
    "CoverageEligibilityRequest": ("status", "purpose", "patient", "created", "insurer"),
    "CoverageEligibilityResponse": ("status", "purpose", "patient", "created", "request", "outcome", "insurer"),
    "Encounter": ("status", "class"),
    "Invoice": ("status",),
    "PaymentNotice": ("status", "created", "payment", "recipient", "amount"),
    "PaymentReconciliation": ("status", "created", "paymentDate", "paymentAmount"),
}
"""The elements that FHIR R4 requires; a part has them too."""

_CHOICES = {"occurrence": "occurrenceDateTime"}
"""Elements that the client names without their type."""

_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


def subsetted(resource: Json) -> Json:
    """Return the resource with the tag of a part."""
    return resource | {"meta": resource["meta"] | {"tag": [_SUBSETTED]}}


def select_elements(resource: Json, elements: Sequence[str]) -> Json:
    """Return the part of a resource with these elements; all of it if there are none."""
    if not elements:
        return resource
    names = {one.removeprefix(f"{resource['resourceType']}.").partition(".")[0] for one in elements}
    kept = {*_ALWAYS, *_MANDATORY[resource["resourceType"]], *(_CHOICES.get(name, name) for name in names)}
    return subsetted({name: value for name, value in resource.items() if name in kept})
