"""How a palm was captured, and what an image may be taken for."""

from typing import Literal

Capture = Literal["hand", "roi"]
"""A photograph of a hand in which the palm was found, or an image of the region of interest."""

CaptureMode = Literal["auto", "hand", "roi"]
"""What an image is taken for; auto decides by the image."""
