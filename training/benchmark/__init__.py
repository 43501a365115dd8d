"""Measures nets, their fusion and a classical matcher on any database, by ISO/IEC 19795-1."""
