"""Reads, writes and fuses versions of nets in a models store."""
