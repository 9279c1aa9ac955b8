"""A hospital's complete first visit as a shell script: the key, the token, and each message over FHIR and HL7 v2.

The commands are those of the guide for hospitals. Pasted into a shell, they run a visit of their own. The script is a
subshell, so that it ends at the first step that fails, and names it, without ending the reader's shell. It cancels its
visits, because an open visit and an unpaid bill hold credit.
"""

import shlex
from string import Template

from msgspec import Struct

from integrations.his.mapping import ID_NUMBER_SYSTEM


class Connection(Struct, frozen=True):
    """Where a hospital connects, who it is, and its test patient; `chengma` is the command, as the shell finds it."""

    hospital: str
    fhir: str
    mllp: str
    key: str
    patient: str
    chengma: str


BEGIN = """\
(
set -e
trap '[ $? = 0 ] || echo "This step failed: $STEP" >&2' EXIT
"""
END = ")\n"


class Step(Struct, frozen=True):
    """Commands of the script, and what they do."""

    title: str
    commands: str

    def script(self) -> str:
        """Return the commands, and the title in a variable for the message of a failure."""
        return f"STEP={shlex.quote(self.title)}\n{self.commands}"


def first_visit(connection: Connection) -> list[Step]:
    """Return the steps of a first visit; the steps depend on those before."""
    values = {name: shlex.quote(getattr(connection, name)) for name in Connection.__struct_fields__}
    values["chengma"] = connection.chengma
    steps = [Step(title, Template(commands).substitute(values)) for title, commands in (*_SETTING, *_TOKEN)]
    steps += [Step(*one) for one in (*_FHIR, *_HL7)]
    return [Step(f"{number}. {step.title}", step.commands) for number, step in enumerate(steps, 1)]


# Templates: `$$` stands for a `$` of the shell.
_SETTING = (
    (
        "The hospital, where it connects, and a patient who agreed to pay later",
        """\
HOSPITAL=$hospital FHIR=$fhir MLLP=$mllp KEY=$key PATIENT=$patient
VISIT=TRY$$(date +%s) DAY=$$(date +%Y-%m-%d) NOW=$$(date +%Y%m%d%H%M%S%z)
chengma() { $chengma "$$@"; }
field() { python3 -c "import json, sys; print(json.load(sys.stdin)['$$1'])" 2>/dev/null; }
fhir() {
  STATUS=0
  ANSWER=$$(curl -s --fail-with-body -X "$$1" "$$FHIR/$$2" -H "Authorization: Bearer $$TOKEN" \\
    -H "Content-Type: application/fhir+json" $${3:+-d "$$3"}) || STATUS=$$?
  echo "$$ANSWER" | python3 -m json.tool --no-ensure-ascii
  return $$STATUS
}
hl7() {
  STATUS=0
  ANSWER=$$(chengma his send --mllp "$$MLLP") || STATUS=$$?
  echo "$$ANSWER"
  case "$$ANSWER" in *"ERR|"*) STATUS=1 ;; esac  # a message that is ignored gets AA with an ERR
  return $$STATUS
}
""",
    ),
    (
        "The key: the city knows this public part (chengma his hospitals add --jwks)",
        """\
python3 - "$$KEY" <<END
import json, sys
private = ("d", "p", "q", "dp", "dq", "qi")
print(json.dumps({name: value for name, value in json.load(open(sys.argv[1])).items() if name not in private}))
END
""",
    ),
)
_TOKEN = (
    (
        "The token: a signed assertion for a token of five minutes",
        """\
ASSERTION=$$(chengma his assertion "$$HOSPITAL" --key "$$KEY" --fhir "$$FHIR")
ANSWER=$$(curl -s "$$FHIR/token" -d grant_type=client_credentials -d scope="system/*.cruds hospital/days.read" \\
  -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer -d client_assertion="$$ASSERTION")
echo "$$ANSWER" | python3 -m json.tool --no-ensure-ascii
TOKEN=$$(echo "$$ANSWER" | field access_token)
""",
    ),
)
_FHIR = (
    (
        "FHIR: may this person pay later, and up to how much?",
        f"""\
fhir POST CoverageEligibilityRequest '{{"resourceType": "CoverageEligibilityRequest", "status": "active",
  "identifier": [{{"value": "'$VISIT'-Q"}}], "purpose": ["benefits"], "created": "'$DAY'",
  "insurer": {{"display": "the city"}},
  "patient": {{"identifier": {{"system": "{ID_NUMBER_SYSTEM}", "value": "'$PATIENT'"}}}},
  "item": [{{"category": {{"coding": [{{"code": "AMB"}}]}}}}]}}'
fhir GET "CoverageEligibilityResponse?identifier=$VISIT-Q"
""",
    ),
    (
        "FHIR: a visit opens",
        f"""\
fhir POST Encounter '{{"resourceType": "Encounter", "status": "in-progress",
  "identifier": [{{"value": "'$VISIT'-F"}}],
  "class": {{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}},
  "subject": {{"identifier": {{"system": "{ID_NUMBER_SYSTEM}", "value": "'$PATIENT'"}}}}}}'
ENCOUNTER=$(echo "$ANSWER" | field id)
""",
    ),
    (
        "FHIR: a charge of 9,000.00 yuan",
        """\
fhir POST ChargeItem '{"resourceType": "ChargeItem", "status": "billable", "identifier": [{"value": "L1"}],
  "code": {"coding": [{"system": "urn:example:catalogue", "code": "110100001"}], "text": "Examination"},
  "subject": {"display": "see the visit"}, "context": {"reference": "Encounter/'$ENCOUNTER'"},
  "priceOverride": {"value": 9000.00, "currency": "CNY"}}'
""",
    ),
    (
        "FHIR: the patient leaves",
        """\
fhir PUT "Encounter/$ENCOUNTER" '{"resourceType": "Encounter", "id": "'$ENCOUNTER'", "status": "finished",
  "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}}'
""",
    ),
    (
        "FHIR: no more charges, so the bill is created",
        """\
fhir PUT "Account/$ENCOUNTER" '{"resourceType": "Account", "id": "'$ENCOUNTER'", "status": "inactive"}'
sleep 1
fhir GET "Invoice/$ENCOUNTER"
""",
    ),
    (
        "FHIR: this practice visit is cancelled, because an unpaid bill holds credit",
        """\
fhir PUT "Encounter/$ENCOUNTER" '{"resourceType": "Encounter", "id": "'$ENCOUNTER'", "status": "cancelled",
  "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}}'
""",
    ),
)
_HL7 = (
    (
        "HL7 v2: a visit opens",
        r"""hl7 <<END
MSH|^~\&|HIS|$HOSPITAL|CHENGMA|CITY|$NOW||ADT^A04^ADT_A01|$VISIT-1|P|2.5||||||UNICODE UTF-8
PID|1||P-77^^^HIS^MR~$PATIENT^^^CN^NI||王^小明
PV1|1|O|||||||||||||||||$VISIT-H
END
""",
    ),
    (
        "HL7 v2: a charge of 9,000.00 yuan",
        r"""hl7 <<END
MSH|^~\&|HIS|$HOSPITAL|CHENGMA|CITY|$NOW||DFT^P03^DFT_P03|$VISIT-2|P|2.5||||||UNICODE UTF-8
PID|1||P-77^^^HIS^MR~$PATIENT^^^CN^NI||王^小明
PV1|1|O|||||||||||||||||$VISIT-H
FT1|1|L1||$NOW||CG|110100001|检查费|||9000.00
END
""",
    ),
    (
        "HL7 v2: the patient leaves",
        r"""hl7 <<END
MSH|^~\&|HIS|$HOSPITAL|CHENGMA|CITY|$NOW||ADT^A03^ADT_A03|$VISIT-3|P|2.5||||||UNICODE UTF-8
PID|1||P-77^^^HIS^MR~$PATIENT^^^CN^NI||王^小明
PV1|1|O|||||||||||||||||$VISIT-H
END
""",
    ),
    (
        "HL7 v2: no more charges, so the bill is created; it is read over FHIR",
        r"""hl7 <<END
MSH|^~\&|HIS|$HOSPITAL|CHENGMA|CITY|$NOW||BAR^P06^BAR_P06|$VISIT-4|P|2.5||||||UNICODE UTF-8
PID|1||P-77^^^HIS^MR~$PATIENT^^^CN^NI||王^小明|||||||||||||$VISIT-H
END
sleep 1
fhir GET "Invoice?identifier=$VISIT-H"
""",
    ),
    (
        "HL7 v2: this practice visit is cancelled as well",
        r"""hl7 <<END
MSH|^~\&|HIS|$HOSPITAL|CHENGMA|CITY|$NOW||ADT^A11^ADT_A09|$VISIT-5|P|2.5||||||UNICODE UTF-8
PID|1||P-77^^^HIS^MR~$PATIENT^^^CN^NI||王^小明
PV1|1|O|||||||||||||||||$VISIT-H
END
""",
    ),
)
