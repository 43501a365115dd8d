"""A client of the palm-vein identification service; see the README."""

from palm_vein_client import errors, models
from palm_vein_client.calls import Subject
from palm_vein_client.clients import AsyncPalmClient, PalmClient
from palm_vein_client.errors import PalmError, ProblemError
from palm_vein_client.images import Image, Images
from palm_vein_client.retries import Retries

__all__ = [
    "AsyncPalmClient",
    "Image",
    "Images",
    "PalmClient",
    "PalmError",
    "ProblemError",
    "Retries",
    "Subject",
    "errors",
    "models",
]
