"""Seeded scenes of coloured everyday objects, with captions, questions and answers that can be scored exactly.

Start with `sample_scene`, which draws a `Scene` from a seeded generator; `Scene.caption` says everything that is in
it, `questions` asks about it, and `render` paints it at any size. The same seed gives the same scene and, with one
version of Pillow, the same pixels: the sample album, the sample video, the tests and the training all draw from here.

Captions are canonical, so that one picture has one caption: of two objects side by side the left one comes first,
of two above each other the upper one, what is inside comes before what holds it, and three are named from left to
right. Backgrounds, lighting, noise and drawing style vary and are never mentioned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from builder.embedded.shapes import STYLES, Primitive

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (212, 38, 40),
    "orange": (245, 138, 22),
    "yellow": (248, 218, 40),
    "green": (46, 158, 68),
    "blue": (42, 92, 214),
    "purple": (136, 56, 172),
    "black": (28, 28, 32),
    "white": (248, 248, 246),
}
KINDS: tuple[str, ...] = tuple(STYLES)
PLURALS = {"box": "boxes", "fish": "fish"}
COUNTS = {2: "two", 3: "three", 4: "four"}
WORDS = ("EXIT", "STOP", "OPEN", "SALE", "TAXI", "CAFE", "PARK", "BUS", "HOTEL", "SHOP", "FREE", "MENU")
UNSEEN_PAIRS = frozenset({("red", "book"), ("purple", "fish"), ("green", "hat"), ("orange", "boat"), ("white", "key")})
"""Colour-object pairs that no training scene holds; held-out sets do, so that composition can be measured."""

DESCRIBE = "Describe the picture."
DESCRIBE_VARIANTS = (DESCRIBE, "What do you see?", "Describe the image in one sentence.", "What is in the picture?")
READ = "Read the text."
NO_TEXT = "no text"

Rgb = tuple[int, int, int]


def plural(kind: str) -> str:
    return PLURALS.get(kind, kind + "s")


def with_article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One painted object. ``x``, ``y`` and ``radius`` are fractions of the picture's side; ``word`` is set on signs."""

    kind: str
    colour: str
    style: int
    x: float
    y: float
    radius: float
    angle: float = 0.0
    mirrored: bool = False
    word: str | None = None

    @property
    def phrase(self) -> str:
        if self.word is not None:
            return f"a sign that says {self.word}"
        return with_article(f"{self.colour} {self.kind}")

    @property
    def definite(self) -> str:
        return f"the {self.kind}"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a picture shows. ``relation`` is one of alone, count, left of, above, inside, row."""

    things: tuple[Thing, ...]
    relation: str
    look_seed: int = 0
    plain: bool = field(default=False)

    @property
    def caption(self) -> str:
        first = self.things[0]
        if self.relation == "count":
            return f"{COUNTS[len(self.things)]} {first.colour} {plural(first.kind)}"
        if self.relation == "row":
            a, b, c = (thing.phrase for thing in self.things)
            return f"{a}, {b} and {c}"
        if self.relation == "alone":
            return first.phrase
        return f"{first.phrase} {self.relation} {self.things[1].phrase}"

    @property
    def is_single(self) -> bool:
        """Whether the scene holds exactly one object."""
        return len(self.things) == 1


# ---------------------------------------------------------------------------------------------- sampling

RELATION_SHARES = {"alone": 0.36, "count": 0.16, "left of": 0.14, "above": 0.12, "inside": 0.08, "row": 0.14}
SIGN_SHARE = 0.17
"""Of the scenes that can hold a sign (alone, left of, above), the share that do."""


def sample_scene(rng: np.random.Generator, *, unseen: bool = True, relation: str | None = None) -> Scene:
    """Draw one scene.

    Args:
        rng: the only source of chance.
        unseen: whether `UNSEEN_PAIRS` may occur; training draws with False.
        relation: draw this relation instead of one by `RELATION_SHARES`.
    """
    if relation is None:
        relation = str(rng.choice(list(RELATION_SHARES), p=list(RELATION_SHARES.values())))
    place = {
        "alone": _place_alone,
        "count": _place_count,
        "left of": _place_left_of,
        "above": _place_above,
        "inside": _place_inside,
        "row": _place_row,
    }[relation]
    spots = place(rng)
    sign_at = (
        int(rng.integers(len(spots)))
        if relation in ("alone", "left of", "above") and rng.random() < SIGN_SHARE
        else None
    )
    kinds = _pick_kinds(rng, relation, len(spots))
    things: list[Thing] = []
    for index, (x, y, radius) in enumerate(spots):
        if relation == "count" and things:
            first = things[0]
            things.append(
                Thing(
                    kind=first.kind,
                    colour=first.colour,
                    style=first.style,
                    x=x,
                    y=y,
                    radius=radius,
                    angle=_tilt(rng, first.kind),
                    mirrored=first.mirrored,
                )
            )
            continue
        kind = kinds[index]
        if index == sign_at:
            radius = min(0.46, radius * 1.3, x - 0.02 if x < 0.5 else 0.98 - x)
            things.append(
                Thing(
                    kind="sign",
                    colour="",
                    style=int(rng.integers(3)),
                    x=x,
                    y=y,
                    radius=max(radius, 0.2),
                    angle=float(rng.uniform(-6, 6)),
                    word=str(rng.choice(WORDS)),
                )
            )
            continue
        colours = [c for c in COLOURS if unseen or (c, kind) not in UNSEEN_PAIRS]
        things.append(
            Thing(
                kind=kind,
                colour=str(rng.choice(colours)),
                style=int(rng.integers(len(STYLES[kind]))),
                x=x,
                y=y,
                radius=radius,
                angle=0.0 if relation == "inside" and kind == "box" else _tilt(rng, kind),
                mirrored=bool(rng.random() < 0.5),
            )
        )
    return Scene(things=tuple(things), relation=relation, look_seed=int(rng.integers(2**31)))


def _pick_kinds(rng: np.random.Generator, relation: str, count: int) -> list[str]:
    if relation == "inside":
        return [str(rng.choice([k for k in KINDS if k != "box"])), "box"]
    return [str(k) for k in rng.choice(KINDS, size=count, replace=False)]


def _tilt(rng: np.random.Generator, kind: str) -> float:
    reach = {"ball": 180, "key": 60, "star": 36, "fish": 25, "box": 8}.get(kind, 16)
    return float(rng.uniform(-reach, reach))


Spot = tuple[float, float, float]


def _place_alone(rng: np.random.Generator) -> list[Spot]:
    radius = rng.uniform(0.15, 0.36)
    low, high = radius + 0.03, 0.97 - radius
    return [(rng.uniform(low, high), rng.uniform(low, high), radius)]


def _place_count(rng: np.random.Generator) -> list[Spot]:
    count = int(rng.integers(2, 5))
    radius = rng.uniform(0.11, 0.18 if count < 4 else 0.155)
    while True:
        spots: list[Spot] = []
        for _ in range(60):
            x, y = rng.uniform(radius + 0.02, 0.98 - radius, size=2)
            if all(math.hypot(x - a, y - b) > 2.25 * radius for a, b, _ in spots):
                spots.append((float(x), float(y), radius))
            if len(spots) == count:
                return spots


def _place_pair(rng: np.random.Generator) -> tuple[float, float, float, float, float, float]:
    """Along the axis of the relation: two positions, two offsets across it, two radii."""
    radii = rng.uniform(0.13, 0.21, size=2)
    gap = radii.sum() * 1.08
    first = rng.uniform(radii[0] + 0.03, min(0.36, 0.97 - radii[1] - gap))
    second = rng.uniform(max(0.64, first + gap), 0.97 - radii[1] + 1e-9)
    middle = rng.uniform(0.34, 0.66)
    spread = 0.4 * (second - first)
    shift = rng.uniform(-spread, spread) / 2
    return first, second, middle + shift, middle - shift, radii[0], radii[1]


def _place_left_of(rng: np.random.Generator) -> list[Spot]:
    a, b, across_a, across_b, ra, rb = _place_pair(rng)
    return [(a, across_a, ra), (b, across_b, rb)]


def _place_above(rng: np.random.Generator) -> list[Spot]:
    a, b, across_a, across_b, ra, rb = _place_pair(rng)
    return [(across_a, a, ra), (across_b, b, rb)]


def _place_inside(rng: np.random.Generator) -> list[Spot]:
    outer = rng.uniform(0.28, 0.4)
    x, y = rng.uniform(outer + 0.02, 0.98 - outer, size=2)
    inner = outer * rng.uniform(0.42, 0.56)
    reach = outer * 0.74 - inner
    return [(x + rng.uniform(-reach, reach), y + rng.uniform(-reach, reach), inner), (x, y, outer)]


def _place_row(rng: np.random.Generator) -> list[Spot]:
    radii = rng.uniform(0.11, 0.155, size=3)
    xs = (rng.uniform(radii[0] + 0.02, 0.21), rng.uniform(0.46, 0.54), rng.uniform(0.79, 0.98 - radii[2]))
    return [(float(x), float(rng.uniform(r + 0.04, 0.96 - r)), float(r)) for x, r in zip(xs, radii, strict=True)]


# ---------------------------------------------------------------------------------------------- questions


def questions(scene: Scene, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Questions of every kind that the scene answers, in a drawn order: [("How many balls?", "three"), ...]."""
    present = {thing.kind: thing for thing in scene.things}
    kinds = list(present)
    asked = str(rng.choice(kinds))
    absent = str(rng.choice([k for k in (*KINDS, "sign") if k not in present]))
    pairs: list[tuple[str, str]] = []
    coloured = [k for k in kinds if k != "sign"]
    if coloured:
        kind = str(rng.choice(coloured))
        if scene.relation == "count":
            pairs.append((f"What colour are the {plural(kind)}?", present[kind].colour))
        else:
            pairs.append((f"What colour is the {kind}?", present[kind].colour))
    if rng.random() < 0.5:
        pairs.append((f"Is there {with_article(asked)}?", "yes"))
    else:
        pairs.append((f"Is there {with_article(absent)}?", "no"))
    if rng.random() < 0.25:
        pairs.append((f"How many {plural(absent)}?", "none"))
    else:
        number = COUNTS[len(scene.things)] if scene.relation == "count" else "one"
        pairs.append((f"How many {plural(asked)}?", number))
    first, second = scene.things[0], scene.things[-1]
    if scene.relation in ("left of", "above", "inside"):
        opposite = {"left of": "right of", "above": "below", "inside": "around"}[scene.relation]
        pairs.append((f"What is {scene.relation} {second.definite}?", first.phrase))
        pairs.append((f"What is {opposite} {first.definite}?", second.phrase))
    signs = [thing for thing in scene.things if thing.word is not None]
    if signs:
        pairs.append(("What does the sign say?", str(signs[0].word)))
        pairs.append((READ, str(signs[0].word)))
    elif rng.random() < 0.2:
        pairs.append((READ, NO_TEXT))
    return [pairs[int(i)] for i in rng.permutation(len(pairs))]


# ---------------------------------------------------------------------------------------------- painting


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
