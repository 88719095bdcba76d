"""Engines and scorers behind one plug-in API (base.py), found by name (catalog.py)."""
