"""Prescription tickets: one ticket is the single source of truth for a prescription, its thread and its timeline."""
