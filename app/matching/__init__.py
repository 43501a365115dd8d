"""Compares palms and decides: templates, similarity, fusion, calibration, decision. NumPy only."""
