"""Compares the service with peers that serve the same net."""
