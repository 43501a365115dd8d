"""Backups of a gallery, and how they are restored."""
