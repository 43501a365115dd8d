"""Measures how well palms are told apart: rates, open-set figures, calibration curves."""
