"""Numbered, frozen steps from an empty database to today's schema. They never import models: a step must mean the same
for ever."""
