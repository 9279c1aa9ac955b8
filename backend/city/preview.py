"""What a draft of the rules would change for everybody in the city. It only reads, and nobody is notified.

Documents go from the store into columns as bytes, and machine code decides them; without numba, or for rules that
columns cannot compute, each document is decoded and decided on its own.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.city.divisions import division_name
from backend.city.preview_districts import districts_by_id, read_districts
from backend.city.service import Service, StoredFacts
from backend.i18n import Text
from backend.rulebook import Rulebook
from backend.rulebook.language.types import microseconds
from backend.rulebook.modules.declared_facts import declared_facts
from backend.rulebook.preview.comparison import (
    NOTHING_BEFORE,
    Answered,
    Comparison,
    Subject,
    codes_of_objects,
    instant_codes,
    with_nothing,
)
from backend.rulebook.preview.districts import Districts
from backend.rulebook.preview.groups import UNKNOWN, groups_of_ages
from backend.rulebook.preview.layout import ABSENT
from backend.rulebook.preview.possible import PartlyKnown, TooManyAnswers
from backend.rulebook.preview.report import (
    Means,
    ModulePreview,
    NotPreviewed,
    PreviewReport,
    Sample,
    chosen_samples,
    explained,
    module_preview,
)
from backend.rulebook.preview.tally import Edition, Tally
from backend.store import Document, Part, Store

Progress = Callable[[int], None]
"""Is called with the number of people counted since the last call."""

WHOLE = Part()
PEOPLE_AT_ONCE = 2_000


def stored_facts_of(services: Iterable[Service]) -> list[StoredFacts]:
    """Return the facts of everybody that the services store."""
    return [stored for service in services for stored in service.stored_facts]


def previewed(
    old: Rulebook, new: Rulebook, stored: Sequence[StoredFacts], modules: Sequence[str] = ()
) -> tuple[list[tuple[str, StoredFacts]], list[NotPreviewed]]:
    """Return the modules to preview with their facts, and those that cannot be: by default, all that differ."""
    changed = [name for name in new.modules if old.texts.get(name) != new.texts[name]]
    names = modules or [*changed, *(name for name in old.modules if name not in new.modules)]
    found: list[tuple[str, StoredFacts]] = []
    refused: list[NotPreviewed] = []
    for name in names:
        facts = next((facts for facts in stored if facts.covers(name)), None)
        if facts is None:
            refused.append(
                NotPreviewed(name, NOT_STORED.format(where=_where(new if name in new.modules else old, name)))
            )
        elif facts.partly:
            found.append((name, facts))
        elif name not in new.modules:
            refused.append(NotPreviewed(name, REMOVED))
        elif name not in old.modules:
            refused.append(NotPreviewed(name, ADDED))
        elif old.modules[name].facts is not new.modules[name].facts:
            refused.append(NotPreviewed(name, OTHER_FACTS))
        elif asked := declared_facts(new.modules[name].facts):
            listed = ", ".join(f"{fact.name} ({fact.source})" for fact in asked)
            refused.append(NotPreviewed(name, ASKED.format(where=_where(new, name), names=listed)))
        else:
            found.append((name, facts))
    return found, refused


def _where(rulebook: Rulebook, name: str) -> str:
    """Return the file of a module below the folder of rules, and the line of its facts."""
    lines = rulebook.texts[name].splitlines()
    line = next((place for place, text in enumerate(lines, 1) if text.startswith("facts:")), 1)
    return f"{name.replace('.', '/')}.yaml:{line}"


NOT_STORED = Text(
    zh="{where}：该模块的事实在每次决定时才取得，城市没有全部人员的存档，不能预览。"
    "请用 `chengma rules prove` 证明没有人受损。",
    en="{where}: its facts are gathered for each decision and not stored for everybody, so nobody can be counted."
    " Prove with `chengma rules prove` that nobody is worse off.",
)
ASKED = Text(
    zh="{where}：该模块自行声明的事实在申领时才询问或查询，城市没有全部人员的存档，不能预览：{names}。",
    en="{where}: facts that it declares are asked or looked up when a person claims, and not stored for everybody, so"
    " nobody can be counted: {names}.",
)
ADDED = Text(
    zh="新增的模块，目前没有人有结果，没有可以对照的变化。",
    en="It is new: nobody has a result yet that could change.",
)
TOO_MANY_ANSWERS = Text(
    zh="规则区分的答复组合过多，无法逐一试算。",
    en="The rules tell more combinations of answers apart than can be tried.",
)
OTHER_FACTS = Text(zh="两个版本依据的事实不同。", en="The editions decide on different facts.")
REMOVED = Text(zh="草案中没有该模块。", en="The draft does not have it.")


async def preview_editions(
    store: Store,
    stored: Sequence[StoredFacts],
    old: Rulebook,
    new: Rulebook,
    at: datetime,
    *,
    modules: Sequence[str] = (),
    progress: Progress = lambda _people: None,
) -> PreviewReport:
    """Return what the edition `new` would change at an instant for everybody whose facts are stored."""
    begin, as_of = time.monotonic(), datetime.now(UTC)
    found, refused = previewed(old, new, stored, modules)
    reports: list[ModulePreview] = []
    for name, facts in found:
        subject = subject_of(old, new, name, at, facts)
        means, _ = await asyncio.to_thread(means_of, facts, subject)
        districts = await districts_for(store, facts, means)
        try:
            tally = await count(store, facts, subject, means, progress=progress, districts=districts)
        except TooManyAnswers:
            refused.append(NotPreviewed(name, TOO_MANY_ANSWERS))
        else:
            reports.append(await report_module(store, facts, subject, tally, means))
    return PreviewReport(
        old=old.digest,
        new=new.digest,
        at=at,
        as_of=as_of,
        seconds=time.monotonic() - begin,
        modules=reports,
        not_previewed=refused,
    )


def subject_of(old: Rulebook, new: Rulebook, module: str, at: datetime, facts: StoredFacts) -> Subject:
    """Return what is compared for a module; an edition without it gives nobody anything."""
    if module not in old.modules:
        old = with_nothing(old, new.modules[module])
    elif module not in new.modules:
        new = with_nothing(new, old.modules[module])
    return Subject(old, new, module, at, facts.later_is_worse, facts.groups)


def means_of(facts: StoredFacts, subject: Subject) -> tuple[Means, str]:
    """Return how people are decided, and why not by machine code; compiles what is needed.

    The reason is the missing library, or what columns cannot compute; "" if facts are derived from documents.
    """
    if facts.derive is not None:
        return "objects", ""
    try:
        from backend.city.preview_columns import prepare
    except ImportError as error:
        if error.name not in ("numba", "llvmlite"):
            raise
        return "objects", "numba"
    try:
        prepare(facts, subject)
    except _refusals() as error:
        return "objects", str(error)
    return "columns", ""


def _refusals() -> tuple[type[Exception], ...]:
    from backend.rulebook.preview.kernel_source import TooManyRules
    from backend.rulebook.preview.layout import UnsupportedLayout
    from backend.rulebook.preview.writer import Unsupported

    return TooManyRules, UnsupportedLayout, Unsupported


async def districts_for(store: Store, facts: StoredFacts, means: Means) -> Districts | None:
    """Return the districts of everybody for a count by columns; None if there are none, or for a count by objects."""
    return await read_districts(store) if facts.by_district and means == "columns" else None


async def count(
    store: Store,
    facts: StoredFacts,
    subject: Subject,
    means: Means,
    part: Part = WHOLE,
    progress: Progress = lambda _people: None,
    districts: Districts | None = None,
) -> Tally:
    """Count the people of a part of the collection; objects are counted whole, and by their own districts."""
    if means == "columns":
        from backend.city.preview_columns import count_columns

        return await count_columns(store, facts, subject, part, progress, districts)
    assert part == WHOLE, "objects are scanned by id"
    comparison, batch = Comparison(subject), list[Document]()
    async for document in store.scan(facts.kind):
        batch.append(document)
        if len(batch) == PEOPLE_AT_ONCE:
            await _count_objects(store, comparison, facts, batch)
            progress(len(batch))
            batch = []
    await _count_objects(store, comparison, facts, batch)
    progress(len(batch))
    return comparison.tally


async def _count_objects(store: Store, comparison: Comparison, facts: StoredFacts, documents: Sequence[Any]) -> None:
    module = comparison.subject.module
    documents, sources = await sources_of(store, facts, comparison.subject, documents)

    def facts_at(edition: Edition, at: datetime) -> list[Any]:
        return [facts.facts_of(source, module, edition.rulebook, at) for source in sources]

    def codes_at(edition: Edition, at: datetime, before: Answered) -> tuple[NDArray[np.int64], Answered]:
        if not edition.rulebook.law(module, at).rules:  # facts decide nothing
            codes, _ = codes_of_objects(edition, [None], at)
            return codes.repeat(len(sources)), None
        return codes_of_objects(edition, people if facts.derive is None else facts_at(edition, at), at, before)

    people = await asyncio.to_thread(facts_at, comparison.new, comparison.subject.at)
    codes = await asyncio.to_thread(instant_codes, comparison, codes_at)
    await asyncio.to_thread(comparison.count_unanswered, people)
    names, group = _groups_of_objects(comparison, documents, people)
    worst = np.array([_worst(comparison, facts, document) for document in documents], dtype=np.int64)
    ids = [document.id for document in documents]
    districts = await districts_by_id(store, ids) if facts.by_district else None
    comparison.count(codes, names, group, worst, lambda places: [ids[place] for place in places.tolist()], districts)


async def sources_of(
    store: Store, facts: StoredFacts, subject: Subject, documents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Return the documents of people who are counted, and what the facts of each are derived from."""
    if facts.gather is None:
        return list(documents), list(documents)
    gathered = await facts.gather(store, subject.module, subject.at, documents)
    pairs = [pair for pair in zip(documents, gathered, strict=True) if pair[1] is not None]
    return [document for document, _ in pairs], [source for _, source in pairs]


def _worst(comparison: Comparison, facts: StoredFacts, document: Any) -> int:  # noqa: ANN401  any document
    if facts.history is None:
        return NOTHING_BEFORE
    field, result = facts.history
    ranks = [comparison.rank(comparison.new, getattr(item, result)) for item in getattr(document, field)]
    return max(ranks, default=NOTHING_BEFORE)


def _groups_of_objects(
    comparison: Comparison, documents: Sequence[Any], people: Sequence[Any]
) -> tuple[list[str], NDArray[np.int64]]:
    groups, zone = comparison.subject.groups, comparison.subject.new.time_zone
    if groups is not None and groups.ages:
        known = (one.facts if isinstance(one, PartlyKnown) else one for one in people)
        instants = [getattr(facts, groups.born) for facts in known]
        born = [ABSENT if at is None else microseconds(at) for at in instants]
        return groups.names, groups_of_ages(groups, np.array(born, dtype=np.int64), comparison.subject.at, zone)
    texts = [getattr(document, groups.field) or UNKNOWN if groups is not None else UNKNOWN for document in documents]
    names = sorted({*texts, UNKNOWN})
    return names, np.array([names.index(text) for text in texts], dtype=np.int64)


async def report_module(
    store: Store, facts: StoredFacts, subject: Subject, tally: Tally, means: Means
) -> ModulePreview:
    """Return the report of a module, with explained samples of the people who change."""
    comparison = Comparison(subject)
    chosen = chosen_samples(comparison, tally)
    stored = await store.get_many(facts.kind, [person for person, _ in chosen])
    documents, sources = await sources_of(store, facts, subject, list(stored.values()))
    source_of = {document.id: source for document, source in zip(documents, sources, strict=True)}
    samples: list[Sample] = []
    for person, cell in chosen:
        source = source_of.get(person)
        if source is not None:  # else it ended meanwhile
            old, new = (
                facts.facts_of(source, subject.module, edition.rulebook, subject.at)
                for edition in (comparison.old, comparison.new)
            )
            before, answers = explained(comparison.old, old, subject.at)
            after, _ = explained(comparison.new, new, subject.at, answers)
            samples.append(Sample(person, cell.group, cell.again, before, after))
    title = facts.groups.title if facts.groups is not None else Text(zh="", en="")
    return module_preview(comparison, tally, means, samples, title, division_name)
