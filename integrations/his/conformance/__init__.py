"""Conformance checks of a FHIR or HL7 v2 interface, for a hospital's test system and for ours."""
