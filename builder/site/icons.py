"""The icon of a site, drawn: a lens on the accent colour, which fills the square, so that any mask may cut it."""

from __future__ import annotations

from pathlib import Path

DRAWING = "icons/icon.svg"
ICONS = {"icons/icon-192.png": 192, "icons/icon-512.png": 512}
"""Path → edge in pixels."""

GROUND, LINE = "#0066cc", "#ffffff"
GRID = 64
CIRCLES = ((18, 0, 5), (7, 7, 0))
"""Radius, radius of the filling and width of the line of each circle around the centre, on a grid of 64."""
SMOOTHING = 4


def write_icons(folder: Path) -> None:
    """Write the icons below ``folder``, as SVG and as PNG for what knows no SVG."""
    for path, size in ICONS.items():
        _draw(folder / path, size)
    (folder / DRAWING).write_text(_svg(), encoding="utf-8", newline="\n")


def _svg() -> str:
    half = GRID // 2
    circles = "".join(
        f'<circle cx="{half}" cy="{half}" r="{radius}" fill="{LINE if filled else "none"}"'
        f' stroke="{LINE}" stroke-width="{width}"/>'
        for radius, filled, width in CIRCLES
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {GRID} {GRID}">'
        f'<rect width="{GRID}" height="{GRID}" fill="{GROUND}"/>{circles}</svg>\n'
    )


def _draw(path: Path, size: int) -> None:
    from PIL import Image, ImageDraw

    large = size * SMOOTHING
    picture = Image.new("RGB", (large, large), GROUND)
    draw = ImageDraw.Draw(picture)
    for radius, filled, width in CIRCLES:
        outer = (radius + width / 2) * large / GRID
        box = (large / 2 - outer, large / 2 - outer, large / 2 + outer, large / 2 + outer)
        draw.ellipse(box, fill=LINE if filled else None, outline=LINE, width=round(width * large / GRID) or 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((size, size), Image.Resampling.LANCZOS).save(path, optimize=True)
