"""Compares palms and decides: templates, scores, fusion, calibration, decision. NumPy only."""
