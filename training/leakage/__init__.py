"""Finds copies of one photograph in different parts of a split (leakage)."""
