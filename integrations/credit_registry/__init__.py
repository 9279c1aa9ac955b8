"""The registries of credit, insurance and income; a real connection goes next to `sandbox.py`."""

from backend.city.service import Integration
from backend.services.medical_credit.ports import CreditRegistry
from integrations.credit_registry.sandbox import open_sandbox

integration = Integration(port=CreditRegistry, make=open_sandbox, development=True)
