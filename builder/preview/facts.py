"""What the landing page says of a folder: its pages, their models with sizes per tier, and whether all is in order.

Start with `look`. Checksums are compared once per file and version; a model of hundreds of megabytes takes a second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path

from builder.errors import BuilderError
from builder.manifest import FILE_NAME, Manifest, file_sha256, read_manifest
from builder.policy import policy_origins, site_policy
from builder.preview.catalog import INDEX, Broken, Catalog, Site
from builder.versions import GENERATOR

PHONE_BYTES = 400_000_000
"""What a tab on an iPhone holds with some safety: Safari ends one at about 1.5 GB, and weights are held several times
while they are prepared."""
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
META_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"')
LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
TIER_NAMES = {
    "webgpu-f16": "WebGPU with 16-bit floats",
    "webgpu": "WebGPU",
    "wasm": "Without WebGPU",
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at; ``why`` says what is not in order, and what to do."""

    name: str
    ok: bool
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Tier:
    """What one kind of device downloads at first, in bytes."""

    name: str
    title: str
    dtypes: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Model:
    """A web model of a site."""

    name: str
    family: str
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, kw_only=True)
class PageFacts:
    """One page of the folder; ``href`` is where it is, relative to the root, and ``served`` whether anything is."""

    slug: str
    title: str
    href: str
    size_bytes: int
    models: tuple[Model, ...]
    checks: tuple[Check, ...]
    served: bool = True


class Checksums:
    """Compares files with what their manifest says, each version of a file once."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int, str]] = {}

    def of(self, path: Path) -> str:
        """SHA-256 of a file."""
        info = path.stat()
        known = self._known.get(path)
        if known is None or known[:2] != (info.st_mtime_ns, info.st_size):
            known = (info.st_mtime_ns, info.st_size, file_sha256(path))
            self._known[path] = known
        return known[2]


def look(catalog: Catalog, checksums: Checksums) -> tuple[PageFacts, ...]:
    """Describe every page below the folder."""
    sites = catalog.sites()
    if not sites:
        return (_plain_folder(catalog.root),)
    return tuple(_describe(site, catalog.root, checksums) for site in sites)


def _describe(site: Site | Broken, root: Path, checksums: Checksums) -> PageFacts:
    href = "" if site.folder == root else f"{site.folder.name}/"
    if isinstance(site, Broken):
        check = Check(name="The site's manifest can be read", ok=False, why=site.why)
        name = site.folder.name
        return PageFacts(slug=name, title=name, href=href, size_bytes=0, models=(), checks=(check,), served=False)
    html = _read(site.folder / INDEX)
    manifests = [path for path in site.files if re.fullmatch(rf"models/[^/]+/{FILE_NAME}", path)]
    models, broken = [], []
    for path in manifests:
        try:
            models.append(read_manifest((site.folder / path).parent))
        except BuilderError as error:
            why = f"{error.message}: {error.hint}"
            broken.append(Check(name="The model's manifest can be read", ok=False, why=why))
    return PageFacts(
        slug=site.page,
        title=_title(html, site.page),
        href=href,
        size_bytes=sum(entry.size_bytes for entry in site.files.values()),
        models=tuple(map(_model, models)),
        checks=(*_check_site(site, html, checksums), *broken, *(check for m in models for check in _check_model(m))),
    )


def _plain_folder(root: Path) -> PageFacts:
    name = "The folder was built by webgpu-demo"
    why = (
        f"No {FILE_NAME} lists its files, so all that is not hidden is served, under the policy of our "
        "own pages: scripts and styles inside HTML, and whatever lies on other hosts, are refused."
    )
    if not root.is_dir():
        name, why = "The folder is there", f"{root} is gone. Build it again, and reload this page."
    check = Check(name=name, ok=False, why=why)
    return PageFacts(
        slug="", title=_title(_read(root / INDEX), root.name), href="", size_bytes=0, models=(), checks=(check,)
    )


def _check_site(site: Site, html: str, checksums: Checksums) -> Sequence[Check]:
    wrong = [name for name in site.files if not _is_as_built(site, name, checksums)]
    extra = sorted(
        path.relative_to(site.folder).as_posix()
        for path in site.folder.rglob("*")
        if not path.is_dir() and path.name not in LITTER
    )
    foreign = [name for name in extra if name not in site.files and name != FILE_NAME]
    policies = [unescape(text) for text in META_POLICY.findall(html)]
    outside = [word for word in site.policy.split() if word.startswith(("https:", "http:", "wss:"))]
    return (
        Check(
            name=f"All {len(site.files)} files are as they were built",
            ok=not wrong,
            why=f"missing or changed since: {_some(wrong)}. Build the site again.",
        ),
        Check(
            name="Nothing else lies in the folder",
            ok=not foreign,
            why=f"{_some(foreign)}: in no manifest, so neither served nor published. Remove it, or build again.",
        ),
        Check(
            name="The page's policy is the one in its manifest",
            ok=policies == [site.policy],
            why="a Space sends no policy as a header, so the one in the page's head must hold. Build the site again.",
        ),
        Check(
            name="Only this origin is asked for anything"
            if not outside
            else f"Besides this origin, only {', '.join(dict.fromkeys(outside))} may be asked",
            ok=site_policy(*(policy_origins(site.policy, part) for part in ("connect-src", "img-src"))) == site.policy,
            why="the policy is not one that this version writes. Build the site again.",
        ),
        Check(
            name=f"Built by {GENERATOR}",
            ok=site.generator == GENERATOR,
            why=f"it was built by {site.generator}. Build it again for what changed since.",
        ),
    )


def _check_model(manifest: Manifest) -> Sequence[Check]:
    sizes = {tier: manifest.tier_bytes(tier) for tier in manifest.tiers}
    lacking = [title for tier, title in TIER_NAMES.items() if tier not in manifest.tiers]
    large = [f"{TIER_NAMES.get(t, t)} {size / 1e6:.0f} MB" for t, size in sizes.items() if size > PHONE_BYTES]
    return (
        Check(
            name=f"{manifest.name} has files for every kind of device",
            ok=not lacking,
            why=f"none for: {', '.join(lacking)}. Run `webgpu-demo verify` on the model, then build again.",
        ),
        Check(
            name=f"{manifest.name} is small enough for phones",
            ok=not large,
            why=f"{', '.join(large)}; a tab on a phone holds about {PHONE_BYTES / 1e6:.0f} MB. "
            "Try `webgpu-demo quantize --quality small`.",
        ),
    )


def _model(manifest: Manifest) -> Model:
    tiers = [
        Tier(
            name=tier,
            title=TIER_NAMES.get(tier, tier),
            dtypes=", ".join(f"{component} {dtype}" for component, dtype in dtypes.items()),
            size_bytes=manifest.tier_bytes(tier),
        )
        for tier, dtypes in manifest.tiers.items()
    ]
    return Model(name=manifest.name, family=manifest.family, tiers=tuple(tiers))


def _is_as_built(site: Site, name: str, checksums: Checksums) -> bool:
    path, entry = site.folder / name, site.files[name]
    try:
        return path.stat().st_size == entry.size_bytes and checksums.of(path) == entry.sha256
    except OSError:
        return False


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _title(html: str, otherwise: str) -> str:
    match = TITLE.search(html)
    return unescape(match[1]).strip() if match else otherwise
