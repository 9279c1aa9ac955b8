"""The registry of titles, prizes and posts.

Only a sandbox exists. A real provider is a module next to it whose `make` replaces the sandbox's here.
"""

from backend.city.service import Integration
from backend.services.talent_code.ports import Employment
from integrations.employment.sandbox import make

integration = Integration(port=Employment, make=make, development=True)
