"""Explain to citizens their talent class and what a benefit gives them."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from backend.benefits.answers import asked_facts
from backend.city.explanations import TooManyExplanations, VerdictExplanation, explain_to_citizen
from backend.city.person import BirthDateMissing
from backend.city.service import City
from backend.city.upstream import UpstreamUnavailable
from backend.i18n import Text, preferred_language, yuan
from backend.problems import NotFound
from backend.rulebook import Verdict
from backend.security.identity import CitizenRequest, citizen, citizen_id
from backend.services.talent_code.declared import complete_facts, facts_of_benefit
from backend.services.talent_code.facts import BenefitTerms
from backend.services.talent_code.model.benefit import offers_of
from backend.services.talent_code.model.problems import AnswersNeeded
from backend.services.talent_code.present_facts import CLASS_MODULE, explained_benefit_facts, explained_class_facts
from backend.services.talent_code.review import refresh_talent
from backend.web.uncached import NO_STORE, Uncached


@get(
    "/v1/me/talent/explanation",
    guards=[citizen],
    response_headers=NO_STORE,
    problems=(BirthDateMissing, TooManyExplanations),
)
async def explain_talent_class(request: CitizenRequest, city: NamedDependency[City]) -> Uncached[VerdictExplanation]:
    """Explain the class that the caller's confirmed qualifications give, and the smallest way to a higher one."""
    talent = await refresh_talent(city, citizen_id(request))
    language = preferred_language(request.headers.get("accept-language", ""))
    return Uncached(
        await explain_to_citizen(city, CLASS_MODULE, explained_class_facts(city, talent), language, _class_in_words)
    )


@get(
    "/v1/me/benefits/{benefit:str}/explanation",
    guards=[citizen],
    response_headers=NO_STORE,
    problems=(BirthDateMissing, NotFound, AnswersNeeded, UpstreamUnavailable, TooManyExplanations),
)
async def explain_benefit(
    benefit: FromPath[str], request: CitizenRequest, city: NamedDependency[City]
) -> Uncached[VerdictExplanation]:
    """Explain what a benefit gives the caller now, and the smallest way to more.

    As in the list of benefits, the caller owns no home, and spends as much as a benefit takes that depends on it.
    """
    talent = await refresh_talent(city, citizen_id(request))
    offers = offers_of(city.rulebook)
    terms = offers.terms(benefit, city.now())
    if terms is None:
        raise NotFound(zh="没有这项待遇，或目前不可申领。", en="There is no such benefit, or it is not available now.")
    struct = facts_of_benefit(offers, benefit)
    if asked_facts(struct):
        raise AnswersNeeded(
            zh="该项政策须先填写信息，填写后即可看到结果和理由。",
            en="This benefit asks you for answers first; an offer shows the result and the reason.",
        )
    language = preferred_language(request.headers.get("accept-language", ""))
    facts = await complete_facts(city, talent.id, explained_benefit_facts(city, talent, terms), struct, {})

    def describe(verdict: Verdict) -> Text:
        return _benefit_in_words(offers.title(benefit), offers.terms(benefit, verdict.at), verdict)

    return Uncached(await explain_to_citizen(city, offers.module(benefit), facts, language, describe))


def _class_in_words(verdict: Verdict) -> Text:
    if verdict.result == "none":
        return verdict.because
    letter = str(verdict.result).upper()
    return Text(zh=f"{letter}类人才（{verdict.because.zh}）", en=f"class {letter} ({verdict.because.en})")


def _benefit_in_words(title: Text, terms: BenefitTerms | None, verdict: Verdict) -> Text:
    figure: int = verdict.result
    if terms is None or figure == 0:
        return verdict.because
    if terms.unit == "percent" or terms.amount == "share":
        return Text(zh=f"{title.zh}：{figure}%", en=f"{title.en}: {figure} percent")
    if terms.unit is not None:
        units = {"months": ("个月", " months"), "level": ("级", ""), "percent": ("%", " percent")}
        zh, en = units[terms.unit]
        return Text(zh=f"{title.zh}：{figure}{zh}", en=f"{title.en}: {'level ' if not en else ''}{figure}{en}")
    most = Text(zh="最高", en="up to ") if terms.amount == "up_to" else Text(zh="", en="")
    return Text(zh=f"{title.zh}：{most.zh}{yuan(figure)}元", en=f"{title.en}: {most.en}{yuan(figure)} yuan")
