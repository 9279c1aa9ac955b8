"""The tax bureau.

Only a sandbox exists. A real provider is a module next to it whose `make` replaces the sandbox's here.
"""

from backend.city.service import Integration
from backend.services.talent_code.ports import Tax
from integrations.tax.sandbox import make

integration = Integration(port=Tax, make=make, development=True)
