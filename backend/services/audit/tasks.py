"""Background work of the audit log: acts become entries, and entries are chained and signed."""

from datetime import timedelta

from backend.city.audit_chain import extend_chain
from backend.city.audit_log import log_all_acts
from backend.city.machine_acts import log_machine_acts
from backend.city.service import City
from backend.jobs.tasks import MAX_SWEEP_SECONDS, background


@background(every=timedelta(seconds=5), max_seconds=MAX_SWEEP_SECONDS)
async def sweep_acts(city: City) -> None:
    """Log the acts that documents hold, chain all entries, and close the day when it is over."""
    await log_all_acts(city)
    await extend_chain(city)


@background(every=timedelta(minutes=1))
async def sweep_machine_acts(city: City) -> None:
    """Log new keys and finished migrations."""
    await log_machine_acts(city)
