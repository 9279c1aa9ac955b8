"""The author of a release submits claims with it, and its approver reads whether they are proved."""

from typing import Any

import httpx
import pytest

from backend.city.releases import RulebookRelease
from backend.rulebook.prover import is_installed
from tests.services.health_code.scene import stored
from tests.services.rules.publishing import FOLDER, RULES, Client, Headers, refused, review

TRANSPORT = "talent_code/benefits/transport.yaml"
TRANSPORT_CLAIMS = "talent_code/benefits/transport.claims.yaml"
FERRY = "talent_code/benefits/ferry.yaml"
FERRY_CLAIMS = "talent_code/benefits/ferry.claims.yaml"
FERRY_MODULE = "talent_code.benefits.ferry"
WITH_FERRY = RULES | {FERRY: RULES[TRANSPORT].replace("benefits.transport", "benefits.ferry")}
CHEAPER = RULES | {TRANSPORT: RULES[TRANSPORT].replace("value: 50", "value: 40")}

one_store = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
"""For what no store can change: checks and proofs take their time."""
needs_solver = pytest.mark.skipif(not is_installed(), reason="the solver is not installed")


def claims(module: str, *about: str, best: str = "most") -> str:
    """Return a file of claims, each with the id and the condition that are given as `id: condition`."""
    lines = [f"module: {module}", f"best: {best}", "claims:"]
    for identifier, _, condition in (one.partition(": ") for one in about):
        lines += [f"  - id: {identifier}", f"    name: {{zh: 主张 {identifier}, en: The claim {identifier}}}"]
        lines += [f"    always: {condition}", '    source: "assumption [A]: an example"']
    return "\n".join(lines) + "\n"


def submit(client: Client, author: Headers, files: dict[str, str], about: dict[str, str]) -> httpx.Response:
    body = {"files": files, "claims": about, "note": "轮渡优惠"}
    return client.post("/v1/rulebook-releases", json=body, headers=author)


def proved(client: Client, author: Headers, reader: Headers, files: dict[str, str], about: dict[str, str]) -> Any:  # noqa: ANN401  JSON
    """Submit a release, and return what its review says of the claims, by module and id."""
    answer = submit(client, author, files, about)
    assert answer.status_code == 201, answer.text
    parts = {part["name"]: part for part in review(client, reader, answer.json()["digest"])["parts"]}
    assert parts["proof"]["failure"] is None, parts["proof"]["failure"]
    return {(one["module"], one["claim"]): one for one in parts["proof"]["report"]["results"]}


@pytest.fixture
def with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.services.rules.review_parts.PROOF_SECONDS", 60.0)


# ── submitting ──


def test_a_release_keeps_its_claims_which_its_readers_see(client: Client, author: Headers, approver: Headers) -> None:
    about = {FERRY_CLAIMS: claims(FERRY_MODULE, "something: new.result >= 0")}
    digest = submit(client, author, WITH_FERRY, about).json()["digest"]
    shown = client.get(f"/v1/rulebook-releases/{digest}", headers=approver).json()
    assert shown["claims"] == {FERRY_MODULE: about[FERRY_CLAIMS]}
    assert FERRY_MODULE in shown["files"]


@one_store
def test_the_digest_names_the_rules_whatever_is_claimed_of_them(client: Client, author: Headers) -> None:
    body = {"files": WITH_FERRY}
    about = {"claims": {FERRY_CLAIMS: claims(FERRY_MODULE, "something: new.result >= 0")}}
    digests = {
        client.post("/v1/rulebook-checks", json=sent, headers=author).json()["digest"] for sent in (body, body | about)
    }
    assert len(digests) == 1


@one_store
def test_the_same_rules_with_other_claims_are_refused_and_the_first_claims_stay(
    client: Client, author: Headers
) -> None:
    first = {FERRY_CLAIMS: claims(FERRY_MODULE, "something: new.result >= 0")}
    other = {FERRY_CLAIMS: claims(FERRY_MODULE, "something: new.result >= 1")}
    digest = submit(client, author, WITH_FERRY, first).json()["digest"]
    refused(submit(client, author, WITH_FERRY, other), 409, "other-claims")
    assert [submit(client, author, WITH_FERRY, about).json()["digest"] for about in (first, {})] == [digest, digest]
    (release,) = stored(client, RulebookRelease)
    assert release.claims == {FERRY_MODULE: first[FERRY_CLAIMS]}


@one_store
@pytest.mark.parametrize("route", ["rulebook-releases", "rulebook-checks"])
def test_faulty_claims_are_refused_at_their_file_line_and_column(client: Client, author: Headers, route: str) -> None:
    faulty = {
        FERRY_CLAIMS: claims(FERRY_MODULE, "typo: new.resalt >= 0", "taken: true", "taken: true"),
        "talent_code/benefits/tram.claims.yaml": claims("talent_code.benefits.tram", "one: true"),
        TRANSPORT_CLAIMS: "a\0b",
        "health_code/colour.claims.yaml": "[" * 50_000,
    }
    body = {"files": WITH_FERRY, "claims": faulty} | ({"note": "轮渡优惠"} if route.endswith("releases") else {})
    answer = client.post(f"/v1/{route}", json=body, headers=author)
    refused(answer, 422, "invalid-rules")
    errors = [(error["pointer"], error["detail"].partition(": ")[0]) for error in answer.json()["errors"]]
    assert {pointer.replace("~1", "/").removeprefix("/claims/") for pointer, _ in errors} == set(faulty)
    assert {f"{FERRY_CLAIMS}:6:17", f"{FERRY_CLAIMS}:12:9"} <= {place for _, place in errors}
    assert stored(client, RulebookRelease) == []


@one_store
@pytest.mark.parametrize(
    "about",
    [
        {FERRY: "x"},
        {"../ferry.claims.yaml": "x"},
        {FERRY_CLAIMS: 3},
        {f"{number}.claims.yaml": "" for number in range(501)},
    ],
    ids=["a rule module", "a path upwards", "no text", "too many files"],
)
def test_claims_that_the_document_does_not_allow_are_refused(
    client: Client, author: Headers, about: dict[str, Any]
) -> None:
    refused(submit(client, author, WITH_FERRY, about), 400, "invalid-request")


# ── reviewing ──


@one_store
@needs_solver
@pytest.mark.usefixtures("with_time")
def test_an_approver_reads_the_counterexample_to_a_claim_about_a_new_module(
    client: Client, author: Headers, approver: Headers
) -> None:
    about = {FERRY_CLAIMS: claims(FERRY_MODULE, "nobody: new.result == 0", "half: new.result <= 50")}
    results = proved(client, author, approver, WITH_FERRY, about)
    assert {key: (one["answer"], one["by_author"]) for key, one in results.items()} == {
        (FERRY_MODULE, "nobody"): ("counterexample", True),
        (FERRY_MODULE, "half"): ("holds", True),
    }
    found = results[FERRY_MODULE, "nobody"]["counterexample"]
    assert (found["after"]["result"], found["after"]["rule"]) == ("50", "every-class")


@one_store
@needs_solver
@pytest.mark.usefixtures("with_time")
def test_an_author_replaces_neither_the_claims_of_the_city_nor_its_scale_nor_that_nobody_is_worse_off(
    client: Client, author: Headers, approver: Headers
) -> None:
    module = "talent_code.benefits.transport"
    city = (FOLDER / TRANSPORT_CLAIMS).read_text(encoding="utf-8")
    assert ("best: most" in city, "id: nothing-without-a-class" in city) == (True, True)
    weaker = claims(module, "nothing-without-a-class: true", "nobody-is-worse-off: true", best="least") + (
        "  - {id: never-less, name: {zh: 不会减少, en: Never less}, against: last, never: worse, source: x}\n"
    )
    results = proved(client, author, approver, CHEAPER, {TRANSPORT_CLAIMS: weaker})
    assert {claim: (one["answer"], one["by_author"]) for (_, claim), one in results.items()} == {
        "nobody-is-worse-off": ("counterexample", False),
        "insurance-never-less": ("holds", False),
        "nothing-without-a-class": ("holds", False),
        "never-less": ("counterexample", True),
    }
    assert results[module, "nothing-without-a-class"]["name"]["en"] in city


@one_store
@needs_solver
@pytest.mark.usefixtures("with_time")
def test_lengths_of_lists_that_an_author_asks_for_do_not_end_the_proof(
    client: Client, author: Headers, approver: Headers
) -> None:
    module, path = "health_code.frame", "health_code/frame"
    text = f"module: {module}\nclaims:\n" + "".join(
        f"  - {{id: lists-of-{length}, name: {{zh: 不失去金边, en: Keeps the frame}}, adding: facts.doses, "
        f"never: worse, lists: {length}, source: x}}\n"
        for length in (0, 1_000_000)
    )
    files = RULES | {f"{path}.yaml": RULES[f"{path}.yaml"] + "# An edition.\n"}
    results = proved(client, author, approver, files, {f"{path}.claims.yaml": text})
    assert {results[module, f"lists-of-{length}"]["answer"] for length in (0, 1_000_000)} == {"holds"}
