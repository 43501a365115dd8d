"""Reads and writes versions of nets in a models store."""
