"""The registers of households, property and residence permits."""

from backend.city.service import Integration
from backend.services.school_lookup.ports import FamilyRegister
from integrations.family_register.sandbox import make

integration = Integration(port=FamilyRegister, make=make, development=True)
