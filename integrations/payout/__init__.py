"""The bank that pays out benefits.

Only a sandbox exists. A real provider is a module next to it whose `make` replaces the sandbox's here.
"""

from backend.benefits.ports import PayoutBank
from backend.city.service import Integration
from integrations.payout.sandbox import make

integration = Integration(port=PayoutBank, make=make, development=True)
