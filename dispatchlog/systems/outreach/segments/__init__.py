"""Segments: rules by which patients are chosen, as documents of react-querybuilder."""
