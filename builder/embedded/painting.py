"""Paint a scene as pixels, at any size: backgrounds, outlines, light, blur and noise, none of which a caption mentions.

Start with `render`. With one version of Pillow the same scene gives the same pixels.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from builder.embedded.scenes import COLOURS, Scene, Thing
from builder.embedded.shapes import STYLES, Primitive

Rgb = tuple[int, int, int]


def render(scene: Scene, size: int) -> Image.Image:
    """Paint a scene as an RGB image of ``size`` × ``size`` pixels, with its own background, light, noise and blur."""
    rng = np.random.default_rng(scene.look_seed)
    scale = size * 2 if size <= 256 else size
    canvas = _background(rng, scale)
    draw = ImageDraw.Draw(canvas)
    outline = float(rng.choice([0.0, 0.0, 0.05, 0.09]))
    flat = bool(rng.random() < 0.4)
    hollow = _shift(_mean_colour(canvas), float(rng.uniform(-26, 10)))
    for thing in sorted(scene.things, key=lambda t: -t.radius if scene.relation == "inside" else 0):
        if thing.word is not None:
            _paint_sign(canvas, thing, scale)
        else:
            _paint_thing(draw, thing, scale, outline=outline, flat=flat, hollow=hollow)
    if scale != size:
        canvas = canvas.reduce(2)
    return _finish(canvas, rng)


def _shift(colour: Rgb, amount: float) -> Rgb:
    r, g, b = (int(min(255, max(0, c + amount))) for c in colour)
    return r, g, b


def _mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    r, g, blue = (int(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return r, g, blue


def _mean_colour(image: Image.Image) -> Rgb:
    r, g, b = (int(v) for v in np.asarray(image.resize((1, 1), Image.Resampling.BOX))[0, 0])
    return r, g, b


def _pastel(rng: np.random.Generator) -> Rgb:
    """A background paint: pale and greyish, so that none of the eight colours drowns in it."""
    level = rng.uniform(118, 208)
    r, g, b = (int(v) for v in level + rng.uniform(-18, 18, size=3))
    return r, g, b


def _background(rng: np.random.Generator, size: int) -> Image.Image:
    one, two = _pastel(rng), _pastel(rng)
    image = Image.new("RGB", (size, size), one)
    draw = ImageDraw.Draw(image)
    match int(rng.integers(6)):
        case 1:  # gradient
            angle = rng.uniform(0, 2 * math.pi)
            line = np.linspace(-1, 1, size, dtype=np.float32)
            ramp = np.clip((line[None, :] * math.cos(angle) + line[:, None] * math.sin(angle)) / 2 + 0.5, 0, 1)[
                ..., None
            ]
            pixels = np.asarray(one) * (1 - ramp) + np.asarray(two) * ramp
            image = Image.fromarray(pixels.astype(np.uint8))
        case 2:  # floor and wall
            horizon = int(size * rng.uniform(0.35, 0.75))
            draw.rectangle((0, horizon, size, size), fill=two)
        case 3:  # stripes
            two = _mix(one, two, 0.45)
            step = size * rng.uniform(0.08, 0.22)
            upright = rng.random() < 0.5
            for i in range(0, int(size / step) + 1, 2):
                box = (i * step, 0, (i + 1) * step, size) if upright else (0, i * step, size, (i + 1) * step)
                draw.rectangle(box, fill=two)
        case 4:  # soft cloth
            coarse = rng.normal(0, 12, size=(7, 7, 1)) + np.asarray(one)
            image = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8)).resize(
                (size, size), Image.Resampling.BICUBIC
            )
        case 5:  # tiles
            two = _mix(one, two, 0.35)
            cells = int(rng.integers(3, 8))
            step = size / cells
            for i in range(cells):
                for j in range(i % 2, cells, 2):
                    draw.rectangle((i * step, j * step, (i + 1) * step, (j + 1) * step), fill=two)
    return image


def _paints(colour: Rgb, hollow: Rgb, flat: bool) -> dict[str, Rgb]:
    dark = sum(colour) < 150
    shade = _mix(colour, (120, 120, 125), 0.45) if dark else _mix(colour, (0, 0, 0), 0.18 if flat else 0.3)
    return {
        "main": colour,
        "shade": shade,
        "tint": _mix(colour, (255, 255, 255), 0.3 if not dark else 0.25),
        "detail": (205, 214, 222) if sum(colour) < 620 else (88, 96, 108),
        "wood": (112, 82, 60),
        "stem": (84, 110, 78),
        "wheel": (44, 44, 48) if not dark else (96, 96, 100),
        "hollow": hollow,
    }


def _place_points(primitive: Primitive, thing: Thing, size: int) -> list[tuple[float, float]]:
    cos, sin = math.cos(math.radians(thing.angle)), math.sin(math.radians(thing.angle))
    flip = -1.0 if thing.mirrored else 1.0
    radius = thing.radius * size
    return [
        (thing.x * size + radius * (flip * x * cos - y * sin), thing.y * size + radius * (flip * x * sin + y * cos))
        for x, y in primitive.points
    ]


def _paint_thing(
    draw: ImageDraw.ImageDraw, thing: Thing, size: int, *, outline: float, flat: bool, hollow: Rgb
) -> None:
    paints = _paints(COLOURS[thing.colour], hollow, flat)
    edge = (226, 226, 230) if thing.colour == "black" else (38, 36, 40)
    radius = thing.radius * size
    pieces = [(p, _place_points(p, thing, size)) for p in STYLES[thing.kind][thing.style]]
    if outline:  # all silhouettes first, so that the outline runs around the object and not around each piece
        for piece, points in pieces:
            grow = outline * radius * 2
            closed = points if piece.width else [*points, points[0]]
            draw.line(closed, fill=edge, width=max(1, round(grow + (piece.width or 0) * radius)), joint="curve")
    for piece, points in pieces:
        if piece.width is not None:
            draw.line(points, fill=paints[piece.role], width=max(1, round(piece.width * radius)), joint="curve")
        else:
            draw.polygon(points, fill=paints[piece.role])


SIGN_BOARDS: tuple[tuple[Rgb, Rgb], ...] = (
    ((250, 248, 240), (24, 24, 28)),
    ((36, 60, 84), (248, 248, 248)),
    ((238, 226, 190), (92, 26, 22)),
)


def _paint_sign(canvas: Image.Image, thing: Thing, size: int) -> None:
    """A board with one printed word, as wide as the thing and as high as the letters need, slightly turned."""
    board, ink = SIGN_BOARDS[thing.style]
    width = round(2 * thing.radius * size)
    height = round(width * 0.42)
    patch = Image.new("RGBA", (width, height), (*board, 255))
    draw = ImageDraw.Draw(patch)
    draw.rectangle((0, 0, width - 1, height - 1), outline=ink, width=max(2, height // 18))
    word = str(thing.word)
    font = ImageFont.load_default(size=height * 0.62)
    left, top, right, bottom = font.getbbox(word, stroke_width=1)
    if right - left > width * 0.88:
        font = ImageFont.load_default(size=height * 0.62 * width * 0.88 / (right - left))
        left, top, right, bottom = font.getbbox(word, stroke_width=1)
    at = ((width - right - left) / 2, (height - bottom - top) / 2)
    draw.text(at, word, font=font, fill=ink, stroke_width=max(1, height // 40), stroke_fill=ink)
    turned = patch.rotate(-thing.angle, expand=True, resample=Image.Resampling.BICUBIC)
    canvas.paste(turned, (round(thing.x * size - turned.width / 2), round(thing.y * size - turned.height / 2)), turned)


def _finish(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light that falls from one side, a colour cast, blur and noise: what a camera adds."""
    size = image.width
    blur = float(rng.choice([0.0, 0.0, rng.uniform(0.002, 0.008)]))
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(blur * size))
    line = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    slope = rng.uniform(0, 0.14)
    light = rng.uniform(0.84, 1.08) * (1 + slope * (line[None, :] * math.cos(angle) + line[:, None] * math.sin(angle)))
    cast = rng.uniform(0.96, 1.04, size=3).astype(np.float32)
    pixels = np.asarray(image, dtype=np.float32) * light[..., None].astype(np.float32) * cast
    sigma = float(rng.choice([0.0, rng.uniform(1, 7)]))
    if sigma:
        pixels += (
            np.random.default_rng(int(rng.integers(2**31))).standard_normal(pixels.shape, dtype=np.float32) * sigma
        )
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
