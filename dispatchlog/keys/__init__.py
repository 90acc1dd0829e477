"""The keys under which secrets are sealed and found again. `dispatchlog.sealing` is the door to them."""
