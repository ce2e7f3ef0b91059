"""The index of an album: what `webgpu-demo index` writes, the photo-search page opens, and a site can publish.

Start with format.py, which says what lies where in the file; its twin in the browser is
web_template/shared/index-file.js. writer.py and reader.py are the two ways across it, names.py and vectors.py pack what
would take too much room, and space.py says which indexes and models belong together. Nothing here opens a photo or runs
a model: builder/index/ does.
"""

from __future__ import annotations

from builder.album.format import Facts, Photo
from builder.album.reader import AlbumIndex
from builder.album.space import index_dtype, rounding, vector_space
from builder.album.writer import write_index

__all__ = ["AlbumIndex", "Facts", "Photo", "index_dtype", "rounding", "vector_space", "write_index"]
