"""HL7 v2.5.1: what a clinic reports of a visit, and the message that it makes for the health information exchange."""
