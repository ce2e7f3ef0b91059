/**
 * @file What photo-search's page and workers say to each other; the rest is in protocol.d.ts, which has these types too.
 */

import type { ImageFacts, BaseCalls } from './protocol.js';

export interface PhotoCalls extends BaseCalls {
  /** Open the album that an earlier visit kept, or a published one. */
  open: {
    payload: { collection_url: string | null; sentences_url: string };
    event: { kind: 'opening'; rows: number; loaded_bytes: number; total_bytes: number };
    result: AlbumFacts & { origins: PhotoOrigin[] };
  };
  /** Wait until the last vector of a published album is here. */
  complete: { payload: null; event: never; result: AlbumFacts };
  /** What of a chosen folder is new; what it lost since is removed from the album. */
  compare: {
    payload: { listing: { name: string; size: number; modified: number }[]; root: string; complete: boolean };
    event: never;
    result: { fresh: { at: number; name: string }[]; known: { at: number; name: string; row: number }[]; gone: number };
  };
  note: { payload: Omit<PhotoOrigin, 'space'>; event: never; result: null };
  index: {
    payload: { photos: PhotoItem[] };
    event:
      | { kind: 'indexed'; at: number; row: number }
      | { kind: 'unreadable'; at: number; why: string }
      | { kind: 'saved'; unsaved: Unsaved };
    result: { indexed: number; unreadable: number; total_ms: number };
  };
  search: {
    payload: { query: PhotoQuery; filter: PhotoFilter };
    /** A picture to search with has been opened. */
    event: { kind: 'example'; id: number; thumbnail: Blob };
    /** Best first: `found` rows that match, `near` just below the cut-off, a few more after these. */
    result: { rows: Uint32Array; scores: Float32Array; found: number; near: number; searched: number; cutoff: number };
  };
  /** The album without a query, newest first. */
  browse: { payload: { filter: PhotoFilter }; event: never; result: { rows: Uint32Array } };
  facts: { payload: { rows: number[] }; event: never; result: { facts: PhotoFacts[] } };
  thumbnails: { payload: { rows: number[] }; event: never; result: { thumbnails: (Blob | null)[] } };
  tag: {
    /** Null: the page's own list. */
    payload: { labels: string[] | null };
    event: { kind: 'labels'; done: number; all: number };
    result: { tags: { label: string; photos: number }[] };
  };
  overview: { payload: null; event: never; result: AlbumFacts };
  openFile: { payload: { file: Blob }; event: never; result: AlbumFacts & { opened: number; other_rounding: boolean } };
  remove: { payload: { rows: number[] }; event: never; result: AlbumFacts };
  export: { payload: null; event: never; result: { file: Blob } };
  render: { payload: { source: PhotoSource }; event: never; result: { picture: Blob } };
  /** Delete the albums of every model on this origin. */
  forget: { payload: null; event: never; result: AlbumFacts };
}

/** What the worker of photo-search asks of the worker that opens photos for it. */
export interface PrepareCalls extends BaseCalls {
  prepare: {
    payload: { source: PhotoSource; image: ImageFacts; libraries_url: string };
    event: never;
    result: Prepared;
  };
  render: { payload: { source: PhotoSource; libraries_url: string }; event: never; result: { picture: Blob } };
}

/** A file, a handle that gives one, or an address on this origin. */
export type PhotoSource = File | FileSystemFileHandle | string;
/** Why photos are kept until the page is closed only: no room, or no storage at all. */
export type Unsaved = '' | 'full' | 'none';

/** A photo to index. `name` is its path in the album; `local_ms`: its date if it does not say itself. */
export interface PhotoItem {
  name: string;
  size: number;
  modified: number;
  local_ms: number;
  source: PhotoSource;
}
/** What is left of a photo once it was opened: the model's input (RGB) and what the page shows. */
export interface Prepared {
  data: Uint8ClampedArray<ArrayBuffer>;
  hash: [number, number];
  thumbnail: Uint8Array<ArrayBuffer>;
  /** Wall clock where it was taken, ms, read as if it were UTC. */
  date: number | null;
  place: { lat: number; lon: number } | null;
  size: number;
}
export interface PhotoFacts {
  row: number;
  name: string;
  size: number;
  date: number;
  place: { lat: number; lon: number } | null;
  /** Rows of photos that show the same. */
  twins: number[];
}
export interface AlbumFacts {
  photos: number;
  folded: number;
  first: number | null;
  last: number | null;
  folders: { path: string; photos: number }[];
  unsaved: Unsaved;
}
/** Where photos came from, so that an interrupted album goes on; `unfinished`: photos not read yet. */
export interface PhotoOrigin {
  space: string;
  root: string;
  kind: 'folder' | 'files' | 'sample';
  handle: FileSystemDirectoryHandle | null;
  unfinished: number;
}
export interface PhotoQuery {
  terms: { text: string; weight: number }[];
  /** Photos of the album to find more like. */
  rows: number[];
  /** Pictures from outside; one whose `id` the worker has met is not opened again. */
  pictures: { id: number; file: File }[];
}
export interface PhotoFilter {
  from: number | null;
  to: number | null;
  folder: string;
  tag: string;
  /** Show one photo of those that show the same. */
  fold: boolean;
}
