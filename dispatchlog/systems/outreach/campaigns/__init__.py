"""Campaigns: what a segment's patients are told step by step, once each, until they answer or it ends."""
