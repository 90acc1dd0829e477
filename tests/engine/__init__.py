"""The engine's specification: every promise of the ledger, the claims, the fences and the rescuer, as sentences."""
