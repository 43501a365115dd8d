"""Reads the containers of image files from their raw bytes, in a bounded number of steps."""
