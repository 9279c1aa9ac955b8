"""The CapabilityStatement of the FHIR interface, and its SMART configuration."""

from backend import VERSION
from integrations.his.fhir.operation_outcome import FHIR_JSON
from integrations.his.fhir.representation import Json
from integrations.his.fhir.scopes import HOSPITAL_SCOPES
from integrations.his.fhir.search_parameters import parameters_of
from integrations.his.mapping import ID_NUMBER_SYSTEM
from integrations.his.public_keys import ALGORITHMS

CHANGED = "2026-11-29"
"""The day on which the statement changed last."""

INTERACTIONS = {
    "Encounter": "crus",
    "Account": "crus",
    "ChargeItem": "crus",
    "Invoice": "rs",
    "ClaimResponse": "crus",
    "PaymentNotice": "crus",
    "CoverageEligibilityRequest": "crs",
    "CoverageEligibilityResponse": "rs",
    "PaymentReconciliation": "rs",
}
"""The interactions of each resource type: create, read, update, search."""

_SHARED_DEFINITIONS = {
    ("Encounter", "date"): "clinical-date",
    ("Encounter", "identifier"): "clinical-identifier",
    ("Encounter", "patient"): "clinical-patient",
    **{(resource_type, "_id"): "Resource-id" for resource_type in INTERACTIONS},
    **{(resource_type, "_lastUpdated"): "Resource-lastUpdated" for resource_type in INTERACTIONS},
}
"""The search parameters of FHIR R4 that several resource types share; each other one is named after its own type."""

_CHAINED = {
    "patient": "Only as patient.identifier, and only by POST to _search: ID numbers must not appear in URLs.",
    "account": "By id, or by number as account.identifier.",
    "context": "By id, or by number as context.identifier.",
    "request": "By id, or by number as request.identifier.",
}

_INTERACTION_CODES = {"c": "create", "r": "read", "u": "update", "s": "search-type"}

_DOCUMENTATION = f"""\
A hospital can read and change its own visits only. It identifies its visits, charges, payments and requests by
`identifier`: the first with use "official", else the first. An identifier is a pair of system and value: the same
value in two systems names two resources. Values without a system are the hospital's own sequence, and so are those in
the systems of our responses and in the systems that the city has registered as the hospital's own. Creating the same
identifier again returns the existing resource.
Patients are identified by `subject.identifier` with the resident ID number (system `{ID_NUMBER_SYSTEM}`) or another
identity document (type PPN, PRC, 06 or 07), or by that of a contained Patient; responses contain a pseudonym that is
unique to the hospital. To search by ID number, POST to _search. Amounts are in CNY with at most two decimal places.
A transaction is done as a whole or not at all, also over several visits and also if the server fails meanwhile; then
it is completed within seconds of the restart, and until then others may see a part of it. Creates come first, then
updates, then reads. An entry that fails, also a read, refuses the transaction, and the OperationOutcome names it as
Bundle.entry[n]. ifMatch applies to the version before the transaction. An update must be the only entry with its
resource, by id or by criteria. If another system changes the same visits at the same moment, the transaction is checked
again. Eligibility requests are not possible in a transaction. Entries of a batch are independent.
"""
_RESOURCE_DOCUMENTATION = {
    "Encounter": """A visit. Status finished: the patient has left; cancelled: the visit did not take place; \
in-progress after finished: reopened. arrived, triaged and onleave become in-progress; planned is refused, because \
credit is held from the beginning of a visit.""",
    "Account": """Created with its Encounter, under the same id. Status inactive: no more charges are expected, and \
the bill is issued at once.""",
    "ChargeItem": """A charge; `priceOverride` is its total. A credit is below zero and partOf its charge; an \
adjustment, up or down, has the overrideReason "adjustment". An update to entered-in-error credits the rest of the \
charge.""",
    "Invoice": """The bill of a visit, under the visit's id. totalPriceComponent: base minus deductions is totalNet; \
credit, exception and counter are its \
parts; counter is to be paid at the counter, and counter-paid was paid there so far. Searches omit the lines.""",
    "ClaimResponse": """What the hospital settled at the insurance itself (2207), for all lines of the visit that \
`request` names by its number; the shares are in `total`. Status cancelled: the hospital cancelled it (2208).""",
    "PaymentNotice": """A payment at the hospital's counter: first of the part that credit does not cover, then of the \
bill, which it lowers. An update to cancelled (it was paid back) or entered-in-error withdraws it, and the bill rises \
again. The Invoice says what was overpaid and must be given back.""",
    "CoverageEligibilityRequest": """Asks whether a person may pay later for the class of visit in item.category. \
The response has the same id.""",
    "CoverageEligibilityResponse": "insurance.inforce, and the available amount as benefit.allowedMoney.",
    "PaymentReconciliation": """A reconciled day: what the city pays for each visit. Outcome partial: there are open \
differences.""",
}


def capability_statement(base: str) -> Json:
    """Return the CapabilityStatement of the server at this base URL."""
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
        "url": f"{base}/metadata",
        "version": VERSION,
        "name": "ChengmaPayLater",
        "title": "Chengma pay later 城码先看病后付费",
        "status": "active",
        "experimental": False,
        "date": CHANGED,
        "publisher": "Chengma 城码",
        "description": "What hospitals can do with their visits, charges and bills over FHIR.",
        "kind": "instance",
        "software": {"name": "Chengma", "version": VERSION},
        "implementation": {
            "description": "Pay later for medical care: the city's interface for hospitals",
            "url": base,
        },
        "fhirVersion": "4.0.1",
        "format": [FHIR_JSON, "application/json"],
        "rest": [
            {
                "mode": "server",
                "documentation": _DOCUMENTATION,
                "security": security,
                "resource": [
                    _resource(resource_type, permissions) for resource_type, permissions in INTERACTIONS.items()
                ],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }


def _resource(resource_type: str, permissions: str) -> Json:
    return {
        "type": resource_type,
        "documentation": _RESOURCE_DOCUMENTATION[resource_type],
        "interaction": [{"code": _INTERACTION_CODES[permission]} for permission in permissions],
        "versioning": "versioned",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": "c" in permissions,
        "conditionalRead": "not-match",
        "conditionalUpdate": "u" in permissions,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "logical", "local"],
        "searchParam": _search_parameters(resource_type),
    }


def _search_parameters(resource_type: str) -> list[Json]:
    """Return the search parameters of a type, each under its name in FHIR R4; chained ones are explained with it."""
    known = parameters_of(resource_type)
    types = {name: known.get(name, "reference") for name in dict.fromkeys(name.partition(".")[0] for name in known)}
    found: list[Json] = []
    for name, type_ in types.items():
        definition = _SHARED_DEFINITIONS.get((resource_type, name), f"{resource_type}-{name}")
        one = {"name": name, "definition": f"http://hl7.org/fhir/SearchParameter/{definition}", "type": type_}
        if any(chained.startswith(f"{name}.") for chained in known):
            one["documentation"] = _CHAINED[name]
        found.append(one)
    return found


def smart_configuration(base: str) -> Json:
    """Return the SMART configuration (SMART App Launch 2, Backend Services)."""
    return {
        "token_endpoint": f"{base}/token",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "response_types_supported": [],
        "code_challenge_methods_supported": ["S256"],  # required of every server, although no code is issued
        "scopes_supported": ["system/*.read", "system/*.write", "system/*.rs", "system/*.cud", "system/*.cruds"]
        + [f"system/{resource_type}.{permissions}" for resource_type, permissions in INTERACTIONS.items()]
        + ["system/MessageHeader.rs", *HOSPITAL_SCOPES],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }
