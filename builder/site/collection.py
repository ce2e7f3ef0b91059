"""A published collection: an index of photos that goes with a site, and where the photos themselves lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.album import AlbumIndex, vector_space
from builder.errors import IndexFileError, SiteError
from builder.manifest import Manifest
from builder.site.assets import Copy
from builder.site.page import Page

FOLDER = "collection/"


@dataclass(frozen=True, kw_only=True)
class Collection:
    """``photos_url`` ends in a slash and is absolute, or relative to index.html; None: there are only thumbnails."""

    copy: Copy
    photos: int
    photos_url: str | None

    def config(self) -> dict[str, object]:
        """What the page is told. The address of a photo is ``photos_url`` and its name in the index."""
        return {"index": self.copy.path, "photos_url": self.photos_url, "photos": self.photos}


def plan_collection(index: Path, photos_url: str | None, *, page: Page, manifest: Manifest) -> Collection:
    """Check an index against the page and the model that will search it.

    Raises:
        IndexFileError: it is none, is damaged, or was made with another model.
        SiteError: the page shows no collection, or neither photos nor thumbnails could be shown.
    """
    if not page.collection:
        raise SiteError(f"{page.slug} shows no collection of photos", hint="build photo-search with --index")
    album = AlbumIndex(index)
    if album.facts.space != vector_space(manifest):
        raise IndexFileError(
            f"{index} was made with another model ({album.facts.model}) than the page has ({manifest.name})",
            hint="make it again with `webgpu-demo index FOLDER --model` and the page's model",
        )
    if photos_url is None and not album.has_thumbnails:
        raise SiteError(
            f"{index} has no thumbnails, and without --photos-url there is nothing to show",
            hint="give --photos-url, or make the index with --thumbnails",
        )
    copy = Copy(source=index, path=f"{FOLDER}album.index")
    return Collection(copy=copy, photos=len(album), photos_url=photos_url)
