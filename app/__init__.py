"""The palm-vein identification service."""

__version__ = "0.1.0"
"""The release; pyproject.toml, Dockerfile and deploy/kubernetes repeat it, and a test compares."""
