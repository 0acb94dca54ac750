"""Probes of the geometry: pure functions that return a worst case, shared by `scripts/audit.py` and the tests."""
