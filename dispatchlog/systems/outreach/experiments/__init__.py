"""Judging what was tried: tests that may be looked at any time, and estimates from what another policy logged. Pure."""
