"""Finds copies of one photograph on both sides of a split."""
