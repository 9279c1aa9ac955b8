"""The register of homes.

Only a sandbox exists. A real provider is a module next to it whose `make` replaces the sandbox's here.
"""

from backend.city.service import Integration
from backend.services.talent_code.ports import PropertyRegister
from integrations.property_register.sandbox import make

integration = Integration(port=PropertyRegister, make=make, development=True)
