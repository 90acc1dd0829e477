"""Every fault that is to be survived, one by one and on purpose, on real processes; each scenario asks the ledger."""
