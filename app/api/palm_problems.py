"""Problems that the routes may answer with that compare palms or read images."""

from app.access.keys import CollectionMissing, CollectionUnnamed, KeyUnknown
from app.api.bodies import BodyTooLarge, BodyTooSlow, UploadRefused
from app.api.errors import ExplanationOff, NotConfirmed, SubjectChanged, UploadUnkept
from app.api.kinds import KINDS, OF_RECORDS
from app.api.middleware import FormIncomplete
from app.enrolment import HandDiffers, OtherPalm, PalmKnown
from app.gallery.errors import (
    CollectionDiffers,
    ErasureUnknown,
    LastTemplate,
    RequestDiffers,
    SubjectExists,
    SubjectUnknown,
    TemplatesMissing,
    TemplateUnknown,
)
from app.palm.errors import ImageTooLarge, UnreadableImage, UnsuitableImage, UnsupportedFormat

_OF_SOME = (  # KINDS but those of each route that compares palms
    SubjectUnknown,
    SubjectExists,
    KeyUnknown,
    ErasureUnknown,
    TemplateUnknown,
    LastTemplate,
    NotConfirmed,
    SubjectChanged,
    RequestDiffers,
    TemplatesMissing,
    ExplanationOff,
    OtherPalm,
    PalmKnown,
    HandDiffers,
    CollectionMissing,
    CollectionUnnamed,
    CollectionDiffers,
    *OF_RECORDS,
)
OF_ALL = [error for error in KINDS if error not in _OF_SOME]
"""Problems of each route that compares palms."""

IMAGE_ERRORS = (
    FormIncomplete,
    BodyTooSlow,
    BodyTooLarge,
    ImageTooLarge,
    UnsupportedFormat,
    UnreadableImage,
    UnsuitableImage,
    UploadUnkept,
    UploadRefused,
)
"""Problems that a route may answer with that decodes an image."""
