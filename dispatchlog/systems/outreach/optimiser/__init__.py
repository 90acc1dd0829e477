"""The optimiser: best hour, channel and text, off until it has proved itself, never before consent, hours and limits."""
