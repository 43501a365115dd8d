"""The palm-vein identification service."""
