"""Reads databases of palm images: file layouts, images, splits."""
