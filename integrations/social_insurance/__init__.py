"""The social insurance.

Only a sandbox exists. A real provider is a module next to it whose `make` replaces the sandbox's here.
"""

from backend.city.service import Integration
from backend.services.talent_code.ports import SocialInsurance
from integrations.social_insurance.sandbox import make

integration = Integration(port=SocialInsurance, make=make, development=True)
