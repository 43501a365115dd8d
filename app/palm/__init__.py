"""From the bytes of an upload to the picture that the nets see: Pillow and NumPy only."""
