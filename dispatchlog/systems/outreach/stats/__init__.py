"""Figures of messages to patients: counted as they come, equal to the log, and what follows from them."""
