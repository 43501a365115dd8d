"""Offline training of the identification nets: `python -m training <command>`."""
