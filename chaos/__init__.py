"""A run of real processes under random faults, compared with what the provider accepted. Ships with no wheel."""
