"""Reads, writes and fuses the versions of nets in a models store."""
