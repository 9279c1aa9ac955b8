"""What the FHIR door says of itself: its CapabilityStatement, and how to sign in."""

from integrations.his.fhir.exchange import Json
from integrations.his.fhir.outcome import FHIR_JSON
from integrations.his.fhir.query import SECRET, parameters_of
from integrations.his.mapping import ID_NUMBER_SYSTEM

INTERACTIONS = {
    "Encounter": "crus",
    "Account": "crus",
    "ChargeItem": "crus",
    "Invoice": "rs",
    "PaymentNotice": "crs",
    "CoverageEligibilityRequest": "crs",
    "CoverageEligibilityResponse": "rs",
    "PaymentReconciliation": "rs",
}
"""What can be done with each kind of resources: create, read, update, search."""

_NAMES = {"c": "create", "r": "read", "u": "update", "s": "search-type"}

_SAID = f"""\
A hospital sees and changes its own visits, and no others. It names its visits, charges, payments and requests by
`identifier`: the first official one counts, or the first; any system is taken and none is compared, for each hospital
has one sequence of numbers for each thing. Whatever is created twice under one identifier is one.
Patients are named by `subject.identifier` with the resident ID number (system `{ID_NUMBER_SYSTEM}`), also of a
contained Patient; they are shown under an identifier that means nothing to anybody else. Search by ID number is by POST
to _search. Amounts are CNY with at most two decimal places.
"""
_SAID_OF = {
    "Encounter": """A visit. Status finished: the patient left; cancelled: it did not take place; in-progress again: \
reopened.""",
    "Account": """Comes with its Encounter under the same id. Status inactive: no more charges are expected, and the \
bill is made at once.""",
    "ChargeItem": """A charge, `priceOverride` being its total. A credit is below zero and partOf its charge; an \
adjustment, up or down, has the overrideReason "adjustment". Updated to entered-in-error, all that is left of it is \
taken back.""",
    "Invoice": """The one bill of a visit, under the visit's id. totalPriceComponent: base less deductions is \
totalNet; what is informational divides it. Searches leave the lines out.""",
    "PaymentNotice": "What the patient paid at the counter, of what credit does not cover.",
    "CoverageEligibilityRequest": """May this person pay later, for the class of visit in item.category? The answer \
has the same id.""",
    "CoverageEligibilityResponse": "insurance.inforce, and the most that can be covered as benefit.allowedMoney.",
    "PaymentReconciliation": """A day that was compared with the hospital's file: what the city pays for each visit. \
Outcome partial: something still differs.""",
}


def capability_statement(base: str, date: str) -> Json:
    """Give the CapabilityStatement of the server at this address."""
    security = {
        "cors": False,
        "service": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "SMART-on-FHIR",
                    }
                ]
            }
        ],
        "extension": [
            {
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": [{"url": "token", "valueUri": f"{base}/token"}],
            }
        ],
        "description": "SMART Backend Services: see .well-known/smart-configuration.",
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "publisher": "Chengma 城码",
        "kind": "instance",
        "software": {"name": "Chengma"},
        "implementation": {"description": "See the doctor, pay later: the city's door for hospitals", "url": base},
        "fhirVersion": "4.0.1",
        "format": [FHIR_JSON, "application/json"],
        "rest": [
            {
                "mode": "server",
                "documentation": _SAID,
                "security": security,
                "resource": [_resource(kind, letters) for kind, letters in INTERACTIONS.items()],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }


def _resource(kind: str, letters: str) -> Json:
    parameters = [
        {"name": name, "type": type_}
        | ({"documentation": "By POST to _search only: it never stands in a URL."} if name == SECRET else {})
        for name, type_ in parameters_of(kind).items()
    ]
    return {
        "type": kind,
        "documentation": _SAID_OF[kind],
        "interaction": [{"code": _NAMES[letter]} for letter in letters],
        "versioning": "versioned",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": "c" in letters,
        "conditionalRead": "not-match",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "logical", "local"],
        "searchParam": parameters,
    }


def smart_configuration(base: str) -> Json:
    """Say how to sign in (SMART App Launch 2, Backend Services)."""
    return {
        "token_endpoint": f"{base}/token",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384", "EdDSA"],
        "scopes_supported": ["system/*.read", "system/*.write", "system/*.cruds"]
        + [f"system/{kind}.{letters}" for kind, letters in INTERACTIONS.items()],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }
