"""The conformance kit: checks that a system on the other side of FHIR or HL7 v2 behaves as documented."""
