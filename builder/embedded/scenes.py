"""Seeded scenes of coloured everyday objects, with captions, questions and answers that can be scored exactly.

Start with `sample_scene`, which draws a `Scene` from a seeded generator; `Scene.caption` says everything that is in
it and `questions` asks about it. The same seed gives the same scene: the sample album, the sample video, the tests and
the training all draw from here. How a scene looks is for painting.py.

Captions are canonical, so that one picture has one caption: of two objects side by side the left one comes first,
of two above each other the upper one, what is inside comes before what holds it, and three are named from left to
right. Backgrounds, lighting, noise and drawing style vary and are never mentioned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from builder.embedded.shapes import STYLES

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
"""What `sample_scene` draws signs with; training dwells on them for a while, because reading is learnt last."""


def sample_scene(
    rng: np.random.Generator, *, unseen: bool = True, relation: str | None = None, sign_share: float = SIGN_SHARE
) -> Scene:
    """Draw one scene.

    Args:
        rng: the only source of chance.
        unseen: whether `UNSEEN_PAIRS` may occur; training draws with False.
        relation: draw this relation instead of one by `RELATION_SHARES`.
        sign_share: of the scenes that can hold a sign (alone, left of, above), the share that do.
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
        if relation in ("alone", "left of", "above") and rng.random() < sign_share
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
