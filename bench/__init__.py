"""Benchmarks: the engine beside its peers and beside what PostgreSQL itself can do. Never part of the product."""
