"""What a photo says of itself in EXIF: which way up, when, and where. What makes no sense counts as not there."""

from __future__ import annotations

import calendar
import re
import struct
from collections.abc import Mapping
from datetime import datetime

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

_DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_BROKEN = (OSError, ValueError, TypeError, KeyError, IndexError, SyntaxError, ArithmeticError, struct.error)
"""What Pillow raises while it reads a damaged directory."""


def orientation_of(exif: Image.Exif) -> int:
    """1 to 8; 1 is upright."""
    value = exif.get(Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def date_of(exif: Image.Exif) -> float | None:
    """When the photo was taken, in milliseconds of the clock on the wall there, read as UTC."""
    details = _directory(exif, IFD.Exif)
    tags = ((details, Base.DateTimeOriginal), (details, Base.DateTimeDigitized), (exif, Base.DateTime))
    for directory, tag in tags:
        found = _DATE.match(str(directory.get(tag, "")))
        if not found:
            continue
        try:
            moment = datetime(*map(int, found.groups()))  # type: ignore[arg-type]
        except ValueError:  # such as 0000:00:00, by which cameras say that their clock is not set
            continue
        return 1000.0 * calendar.timegm(moment.timetuple())
    return None


def place_of(exif: Image.Exif) -> tuple[float, float] | None:
    """Latitude and longitude in degrees."""
    found = _directory(exif, IFD.GPSInfo)
    latitude = _degrees(found.get(GPS.GPSLatitude), found.get(GPS.GPSLatitudeRef), "S")
    longitude = _degrees(found.get(GPS.GPSLongitude), found.get(GPS.GPSLongitudeRef), "W")
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    # Some cameras write 0, 0 while they wait for satellites.
    return None if latitude == longitude == 0 else (latitude, longitude)


def wall_clock_ms(timestamp_s: float) -> float:
    """A moment as the clock on the wall of this machine shows it, in milliseconds, read as UTC."""
    return 1000.0 * calendar.timegm(datetime.fromtimestamp(timestamp_s).timetuple())


def _degrees(value: object, reference: object, negative: str) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in value)  # type: ignore[attr-defined]
    except (*_BROKEN, AttributeError):
        return None
    total = degrees + minutes / 60 + seconds / 3600
    if not -1e6 < total < 1e6:  # a rational with a zero below the line is no number
        return None
    return -total if str(reference).upper().startswith(negative) else total


def _directory(exif: Image.Exif, which: IFD) -> Mapping[int, object]:
    try:
        return exif.get_ifd(which)
    except _BROKEN:
        return {}
