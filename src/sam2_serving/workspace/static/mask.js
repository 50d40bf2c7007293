// Masks: the platform's bitmap form, and how a mask is drawn.

const PNG_START = 0x89;

/** A mask on an image: where its top left pixel is, its size, and one byte a pixel (0 or 1). */
export class Mask {
  constructor(x, y, width, height, pixels) {
    Object.assign(this, { x, y, width, height, pixels });
    this.tints = new Map();
  }

  /** A canvas of the mask's size, filled with a colour where the mask is. */
  tinted(color) {
    if (!this.tints.has(color)) {
      const canvas = new OffscreenCanvas(this.width, this.height);
      const context = canvas.getContext("2d");
      const image = context.createImageData(this.width, this.height);
      const words = new Uint32Array(image.data.buffer);
      const word = opaqueWordOf(color);
      for (let i = 0; i < words.length; i += 1) if (this.pixels[i]) words[i] = word;
      context.putImageData(image, 0, 0);
      this.tints.set(color, canvas);
    }
    return this.tints.get(color);
  }

  /** Whether the pixel at a point of the image is inside. */
  covers(x, y) {
    const [column, row] = [Math.floor(x) - this.x, Math.floor(y) - this.y];
    if (column < 0 || row < 0 || column >= this.width || row >= this.height) return false;
    return this.pixels[row * this.width + column] > 0;
  }

  /** The border between inside and outside, along the edges of pixels, in image coordinates. */
  get outline() {
    this.path ??= outlineOf(this);
    return this.path;
  }
}

/**
 * Decode base64(zlib(PNG)) or base64(PNG).
 * @param {{x: number, y: number}} origin - top left pixel of the bitmap in the image
 * @param {string} data
 */
export async function decodeMask(origin, data) {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const png = bytes[0] === PNG_START ? new Blob([bytes]) : await inflate(bytes);
  const picture = await createImageBitmap(new Blob([png], { type: "image/png" }));
  const { width, height } = picture;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(picture, 0, 0);
  const { data: rgba } = context.getImageData(0, 0, width, height);
  return new Mask(origin.x, origin.y, width, height, insideOf(rgba));
}

/**
 * Decode the masks of figures.
 * @param {object[]} figures
 * @param {Map} [known] - masks that are decoded already
 * @returns {Promise<Map<number, {data: string, mask: Mask}>>} by the figure's id
 */
export async function decodeMasks(figures, known = new Map()) {
  const masks = new Map();
  for (const { id, geometry } of figures) {
    if (!geometry.bitmap) continue;
    const { origin: [x, y], data } = geometry.bitmap;
    const old = known.get(id);
    const unchanged = old && old.data === data && old.mask.x === x && old.mask.y === y;
    masks.set(id, unchanged ? old : { data, mask: await decodeMask({ x, y }, data) });
  }
  return masks;
}

function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).blob();
}

/** With transparency, what is not fully transparent is inside; without, what is not black. */
function insideOf(rgba) {
  const inside = new Uint8Array(rgba.length / 4);
  let opaque = true;
  for (let i = 3; i < rgba.length; i += 4) opaque &&= rgba[i] === 255;
  for (let i = 0; i < inside.length; i += 1) {
    const at = i * 4;
    inside[i] = opaque ? +(rgba[at] + rgba[at + 1] + rgba[at + 2] > 0) : +(rgba[at + 3] > 0);
  }
  return inside;
}

function outlineOf({ x, y, width, height, pixels }) {
  const path = new Path2D();
  const at = (column, row) =>
    column >= 0 && row >= 0 && column < width && row < height ? pixels[row * width + column] : 0;
  const trace = (lines, steps, differs, draw) => {
    for (let line = 0; line <= lines; line += 1) {
      let start = -1;
      for (let step = 0; step <= steps; step += 1) {
        const edge = step < steps && differs(line, step);
        if (edge && start < 0) start = step;
        if (!edge && start >= 0) {
          draw(line, start, step);
          start = -1;
        }
      }
    }
  };
  trace(height, width, (row, column) => at(column, row - 1) !== at(column, row),
    (row, from, to) => { path.moveTo(x + from, y + row); path.lineTo(x + to, y + row); });
  trace(width, height, (column, row) => at(column - 1, row) !== at(column, row),
    (column, from, to) => { path.moveTo(x + column, y + from); path.lineTo(x + column, y + to); });
  return path;
}

/** "#RRGGBB" as one pixel of ImageData, read as a number (alpha first, every browser's order). */
function opaqueWordOf(color) {
  const number = Number.parseInt(color.slice(1), 16);
  const [red, green, blue] = [number >> 16, (number >> 8) & 255, number & 255];
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/**
 * Draw a mask: a fill, and an outline that is equally wide at every zoom.
 * @param {number} opacity - of the fill, from 0 to 1
 */
export function drawMask(context, mask, color, scale, strong = false, opacity = 0.4) {
  context.save();
  context.globalAlpha = strong ? Math.min(opacity + 0.15, 1) : opacity;
  context.imageSmoothingEnabled = false;
  context.drawImage(mask.tinted(color), mask.x, mask.y);
  context.globalAlpha = 1;
  context.lineCap = "square";
  context.strokeStyle = "rgb(0 0 0 / 55%)";
  context.lineWidth = (strong ? 4.5 : 3) / scale;
  context.stroke(mask.outline);
  context.strokeStyle = color;
  context.lineWidth = (strong ? 2.5 : 1.5) / scale;
  context.stroke(mask.outline);
  context.restore();
}
