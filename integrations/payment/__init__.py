"""The bank that debits citizens' cards and refunds payments; a real provider goes next to `sandbox.py`."""

from backend.city.service import Integration
from backend.paylater.ports import Bank
from integrations.payment.sandbox import open_sandbox

integration = Integration(port=Bank, make=open_sandbox, development=True)
