"""What the talent code holds on a person, and what must be settled before they close their account."""

from collections.abc import AsyncIterator
from datetime import datetime

from backend.city.personal_data import by_retention, naming_person, of_person, once_settled
from backend.city.service import City, OpenMatter, PersonalData, PersonalRecords, Subject
from backend.i18n import Text, yuan
from backend.services.talent_code.facts import BenefitTerms
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.redemption import Usage, usage_id
from backend.services.talent_code.model.talent import Talent

_claims = naming_person(Claim, "subject")
_PUBLIC_MONEY = Text(
    zh="补贴发放记录须备查，并防止同一补贴重复申领。",
    en="Payments of public money must stay verifiable, and a benefit is not claimed twice.",
)


async def _open_matters(city: City, subject: Subject) -> list[OpenMatter]:
    matters: list[OpenMatter] = []
    async for claim in _claims(city, subject):
        open_fen = claim.sum_fen("open", "requested")
        if claim.owed_fen > 0:
            text = Text(zh="“{title}”有{yuan}元须退还，请先退还。", en="First pay back {yuan} yuan: {title}.")
            amount_fen = claim.owed_fen
        elif open_fen > 0:
            text = Text(
                zh="“{title}”还有{yuan}元待发放，请等待发放完毕。",
                en="{yuan} yuan are still to be paid to you; wait until they are: {title}.",
            )
            amount_fen = open_fen
        elif not claim.is_settled() and claim.state not in ("failed", "withdrawn"):
            text = Text(zh="“{title}”尚未办结，请等待办结。", en="Wait until the claim is settled: {title}.")
            amount_fen = 0
        else:
            continue
        matters.append(OpenMatter(text.format(title=claim.title, yuan=yuan(amount_fen)), amount_fen or None))
    return matters


async def _usages(city: City, subject: Subject) -> AsyncIterator[Usage]:
    """Find the uses of this and the last year; older ones have ended."""
    if subject.person is None:
        return
    prefix, year = BenefitTerms.module_prefix, city.today().year
    benefits = [name.removeprefix(prefix) for name in city.rulebook.modules if name.startswith(prefix)]
    ids = [usage_id(subject.person, benefit, each) for benefit in benefits for each in (year - 1, year)]
    for usage in (await city.store.get_many(Usage, ids)).values():
        yield usage


async def _with_last_claim(city: City, talent: Talent, now: datetime) -> datetime | None:
    """Keep a talent as long as a claim: it knows which benefits exclude others."""
    ends = [await once_settled(city, claim, now) async for claim in _claims(city, Subject("", talent.id))]
    return max((end for end in ends if end is not None), default=None)


def _without_evidence(talent: Talent) -> Talent:
    """Return a talent who only remembers past claims: no class is left to review, and no registry to ask."""
    reduced = Talent(
        id=talent.id,
        revision=talent.revision,
        code_id=talent.code_id,
        born_at=talent.born_at,
        past_claims=talent.past_claims,
    )
    return talent if reduced == talent else reduced


personal_data = PersonalData(
    records=[
        PersonalRecords(
            kind=Usage,
            title=Text(zh="权益使用记录", en="Uses of services"),
            find=_usages,
            keep_until=by_retention,
            reason=Text(zh="用于计算当年已用次数。", en="They count what was used in the year."),
        ),
        PersonalRecords(
            kind=Talent,
            title=Text(zh="人才类别和申报材料", en="Talent class and qualifications"),
            find=of_person(Talent),
            correct=Text(
                zh="可删除申报后重新申报；核实结果由主管部门更正。",
                en="Remove a qualification and declare it again; the registry corrects what it confirmed.",
            ),
            hidden=("code_id", "account", "card", "former_cards"),
            keep_until=_with_last_claim,
            reduced=_without_evidence,
            reason=_PUBLIC_MONEY,
        ),
        PersonalRecords(
            kind=Claim,
            title=Text(zh="补贴申领", en="Claims to benefits"),
            find=_claims,
            correct=Text(zh="可在期限内申诉。", en="Appeal within the time limit."),
            hidden=("account", "officer_views", "entry", "waitlist"),
            keep_until=once_settled,
            reason=_PUBLIC_MONEY,
        ),
    ],
    open_matters=_open_matters,
)
