"""The medical insurance, which settles claims; a real connection goes next to `sandbox.py`."""

from backend.city.service import Integration
from backend.services.medical_credit.ports import Insurance
from integrations.insurance.sandbox import open_sandbox

integration = Integration(port=Insurance, make=open_sandbox, development=True)
