"""Measurements: each module prints a table and writes JSON. None runs in the test suite."""
