"""Converts the bytes of an upload to the nets' input image and measures its quality."""
