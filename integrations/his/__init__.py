"""Hospitals: what their information systems tell the city, and what they are told, by HL7 v2 and FHIR R4."""
