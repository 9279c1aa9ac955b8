"""Acts on the city's own machine that leave a trace of their own: keys in their folder, and finished migrations.

The trace is the act, and its entry has an id that follows from it, so that none is missing and none is logged twice.
"""

import asyncio

from backend.city.audit_log import Act, AuditEntry, city_act, record_act
from backend.city.service import City
from backend.store.migrations import MigrationRun


async def log_machine_acts(city: City) -> None:
    """Store an entry for each key and each finished migration that has none."""
    acts = {act.id: act for act in [*_key_acts(city), *await _migration_acts(city)]}
    logged = await city.store.get_many(AuditEntry, list(acts))
    await asyncio.gather(*(record_act(city, act) for act in acts.values() if act.id not in logged))


def _key_acts(city: City) -> list[Act]:
    active = city.keys.keys()
    return [city_act("keys.made", f"{key.use} {key.kid}", key.created, act_id=f"key-{key.kid}") for key in active]


async def _migration_acts(city: City) -> list[Act]:
    runs = [run async for run in city.store.scan(MigrationRun) if run.done]
    return [city_act("store.migrated", run.id, run.began, act_id=f"migration-{run.id}") for run in runs]
