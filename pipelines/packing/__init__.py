"""Packed data sets: checking, packing, the cache, and conversion between formats."""
