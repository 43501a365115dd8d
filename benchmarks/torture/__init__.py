"""Tries to make the service lose, leak or refuse what it must not; each module in its own way."""
