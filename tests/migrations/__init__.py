"""The schema: reachable from nothing, back to nothing, and the same as the models say."""
