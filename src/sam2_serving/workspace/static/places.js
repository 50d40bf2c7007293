// Places: the picture that is open. An image or a photo is one; a video has one for each frame, a
// volume one for each slice (and shows it under a window of intensities).

/**
 * @typedef {{frame?: number, plane?: string, slice?: number, center?: number, width?: number,
 *   axial?: number, coronal?: number, sagittal?: number}} At - the last three are the slices that
 *   cross: a voxel of the volume. `slice` is the one of `plane`
 */

const remembered = new Map(); // medium key -> where it was left

/** Every medium of the list, in the list's order. */
export const mediaOf = ({ images, videos, volumes, photos }) => [
  ...images, ...videos, ...volumes, ...photos,
];

/** A name that no other medium has: kinds are numbered apart. */
export const keyOf = ({ kind, id }) => `${kind}-${id}`;

/** What a change calls a place: `images/7`, `videos/3/frames/12`. */
export const pathOf = ({ figures }) => figures.slice("/workspace/api/".length, -"/figures".length);

/**
 * Open a medium where it was left, or at the place `at`.
 * @param {object} medium - as the workspace lists it
 * @param {At} [at] - what is missing stays as it was
 */
export function openPlace(store, medium, at = {}) {
  const place = placeOf(medium, { ...remembered.get(keyOf(medium)), ...at });
  remembered.set(keyOf(medium), place.at);
  store.set({ medium, place });
}

/** Where each medium was left, as `rememberPlaces` takes it after a reload. */
export const leftPlaces = () => [...remembered];

export function rememberPlaces(places = []) {
  for (const [key, at] of places) remembered.set(key, at);
}

/** Open the next medium of the list (`way` 1), or the one before (-1). */
export function openNext(store, way) {
  const media = store.get("datasets").flatMap(mediaOf);
  const medium = store.get("medium");
  const next = media[media.findIndex((one) => medium && keyOf(one) === keyOf(medium)) + way];
  if (next) openPlace(store, next);
}

/**
 * What the page needs to know of a place.
 * @returns {{key: string, name: string, width: number, height: number, picture: string,
 *   figures: string, places: string|null, source: object, at: At, medium: object}} `source` is
 *   what the wire calls it (the platform's contract, section 3.1); two places with one `key` hold
 *   the same figures
 */
export function placeOf(medium, at) {
  return { medium, ...MAKERS[medium.kind](medium, at, `/workspace/api/${medium.kind}s/${medium.id}`) };
}

const MAKERS = {
  image: (image, _, base) => ({ ...still(image, base), name: image.name, source: { image_id: image.id } }),

  photo: (photo, _, base) => ({
    ...still(photo, base),
    name: `${photo.name} of ${photo.cloud}`,
    source: { pcd_related_image_id: photo.id },
  }),

  video(video, at, base) {
    const frame = clamp(at.frame ?? 0, video.frames);
    const here = `${base}/frames/${frame}`;
    return {
      key: `${keyOf(video)}-${frame}`,
      name: `${video.name} · frame ${frame}`,
      width: video.width,
      height: video.height,
      picture: `${here}/view?v=${video.version}`,
      figures: `${here}/figures`,
      places: `${base}/places`,
      source: { video: { video_id: video.id, frame_index: frame } },
      at: { frame },
    };
  },

  volume(volume, at, base) {
    const plane = at.plane in volume.planes ? at.plane : "axial";
    const { width, height } = volume.planes[plane];
    const cross = crossOf(volume, { ...at, [plane]: at.slice ?? at[plane] });
    const slice = cross[plane];
    const window = { center: at.center ?? volume.window.center, width: at.width ?? volume.window.width };
    const here = `${base}/slices/${plane}/${slice}`;
    const shown = new URLSearchParams({ ...window, v: volume.version });
    return {
      key: `${keyOf(volume)}-${plane}-${slice}`,
      name: `${volume.name} · ${plane} slice ${slice}`,
      width,
      height,
      picture: `${here}/view?${shown}`,
      figures: `${here}/figures`,
      places: `${base}/places`,
      source: {
        volume: {
          volume_id: volume.id,
          slice_index: slice,
          normal: NORMALS[plane],
          window_center: window.center,
          window_width: window.width,
        },
      },
      at: { plane, slice, ...window, ...cross },
    };
  },
};

/** The slices that cross; at first those in the middle. */
function crossOf({ planes }, at) {
  const slices = Object.entries(planes).map(([plane, { slices: count }]) =>
    [plane, clamp(at[plane] ?? Math.floor(count / 2), count)]);
  return Object.fromEntries(slices);
}

const NORMALS = {
  sagittal: { x: 1, y: 0, z: 0 },
  coronal: { x: 0, y: 1, z: 0 },
  axial: { x: 0, y: 0, z: 1 },
};

function still(picture, base) {
  return {
    key: keyOf(picture),
    width: picture.width,
    height: picture.height,
    picture: picture.view,
    figures: `${base}/figures`,
    places: null,
    at: {},
  };
}

function clamp(index, count) {
  return Math.min(Math.max(Math.round(index) || 0, 0), count - 1);
}

/** The place as it stands in the address bar, for example `#video=3&frame=12`. */
export function addressOf({ medium, at }) {
  return `#${new URLSearchParams({ [medium.kind]: medium.id, ...at })}`;
}

/** @returns {{medium: object, at: At}|null} what an address names, if it is there */
export function addressed(hash, media) {
  const given = new URLSearchParams(hash.slice(1));
  const medium = media.find(({ kind, id }) => Number(given.get(kind)) === id);
  if (!medium) return null;
  const at = {};
  for (const name of ["frame", "slice", "center", "width", "axial", "coronal", "sagittal"]) {
    const number = Number(given.get(name) || NaN);
    if (Number.isFinite(number)) at[name] = number;
  }
  if (!(at.width > 0)) delete at.width;
  if (given.get("plane")) at.plane = given.get("plane");
  return { medium, at };
}
