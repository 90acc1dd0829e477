"""The actors: what a message may and may not do."""
