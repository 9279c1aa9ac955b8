"""The FHIR R4 interface for hospitals."""
