"""The registry of degrees.

Only a sandbox exists. A real provider is a module next to it whose `make` replaces the sandbox's here.
"""

from backend.city.service import Integration
from backend.services.talent_code.ports import Education
from integrations.education.sandbox import make

integration = Integration(port=Education, make=make, development=True)
