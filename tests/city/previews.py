"""Previews of a small city that a test fills."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from backend.city.preview import preview_editions
from backend.city.service import StoredFacts
from backend.rulebook import Rulebook
from backend.rulebook.preview.report import ModulePreview, PreviewReport
from backend.store import Document
from tests.store.scene import Open


def report_of(
    opened: Open,
    documents: Sequence[Document],
    stored: Sequence[StoredFacts],
    editions: tuple[Rulebook, Rulebook],
    at: datetime,
    modules: Sequence[str] = (),
) -> PreviewReport:
    """Put documents into a store, preview the second of two editions against the first, and close the store."""

    async def run() -> PreviewReport:
        store = opened()
        for kind in {type(one) for one in documents}:
            await store.restore([one for one in documents if type(one) is kind])
        report = await preview_editions(store, stored, *editions, at, modules=modules)
        await store.close()
        return report

    return asyncio.run(run())


def only_module(report: PreviewReport) -> ModulePreview:
    """Return the only module of a report."""
    (module,) = report.modules
    return module


def matrix(module: ModulePreview) -> dict[tuple[str | int, str | int], int]:
    """Return how many people have which result now and under the draft."""
    return {(cell.old, cell.new): cell.people for cell in module.matrix}
