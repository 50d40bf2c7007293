// Masks: the platform's bitmap form, and how a mask is drawn.

const PNG_START = 0x89;
const TILE = 256; // outlines are kept in squares of so many pixels, and drawn where they are in sight
const SMALL_PX = 4096; // a mask of so many pixels is not worth a smaller copy

/**
 * A mask on an image: where its top left pixel is, its size, and one byte a pixel (0 or 1). Each
 * pixel is `unit` pixels of the image wide: one, or more in a copy that is drawn small.
 */
export class Mask {
  constructor(x, y, width, height, pixels, unit = 1) {
    Object.assign(this, { x, y, width, height, pixels, unit });
    this.tints = new Map();
    this.tiles = new Map();
  }

  /** The mask, or the smallest copy with a pixel for each pixel of the screen. */
  at(scale) {
    const enough = scale * this.unit > 0.5 || this.width * this.height <= SMALL_PX;
    if (enough) return this;
    this.half ??= halfOf(this);
    return this.half.at(scale);
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

  /**
   * The border between inside and outside, along the edges of pixels, in image coordinates.
   * @param {{x0, y0, x1, y1}} sight - what is in sight, in image coordinates
   * @returns {Path2D[]} of the squares that are in sight
   */
  outline({ x0, y0, x1, y1 }) {
    const tile = (value, most) => Math.min(Math.max(Math.floor(value / this.unit / TILE), 0), most);
    const [columns, rows] = [this.width, this.height].map((size) => Math.floor(size / TILE));
    const paths = [];
    for (let row = tile(y0 - this.y, rows); row <= tile(y1 - this.y, rows); row += 1) {
      for (let column = tile(x0 - this.x, columns); column <= tile(x1 - this.x, columns); column += 1) {
        const key = row * (columns + 1) + column;
        if (!this.tiles.has(key)) this.tiles.set(key, outlineOf(this, column * TILE, row * TILE));
        paths.push(this.tiles.get(key));
      }
    }
    return paths;
  }
}

/** A copy with pixels of twice the size: inside is what any of their four pixels is. */
function halfOf({ x, y, width, height, pixels, unit }) {
  const wide = 2 * unit;
  const [left, top] = [x, y].map((at) => Math.floor(at / wide) * wide);
  const [dx, dy] = [(x - left) / unit, (y - top) / unit];
  const [columns, rows] = [Math.ceil((width + dx) / 2), Math.ceil((height + dy) / 2)];
  const half = new Uint8Array(columns * rows);
  for (let row = 0, at = 0; row < height; row += 1) {
    const start = ((row + dy) >> 1) * columns;
    for (let column = 0; column < width; column += 1, at += 1) {
      half[start + ((column + dx) >> 1)] |= pixels[at];
    }
  }
  return new Mask(left, top, columns, rows, half, wide);
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

/** The outline in one square: its lines and those of its upper and left border. */
function outlineOf({ x, y, width, height, pixels, unit }, left, top) {
  const path = new Path2D();
  // A line after the last pixel is in the last square.
  const [right, bottom] = [Math.min(left + TILE, width + 1), Math.min(top + TILE, height + 1)];
  const at = (column, row) =>
    column >= 0 && row >= 0 && column < width && row < height ? pixels[row * width + column] : 0;
  const trace = ([line, lines], [first, end], differs, draw) => {
    for (; line < lines; line += 1) {
      let start = -1;
      for (let step = first; step <= end; step += 1) {
        const edge = step < end && differs(line, step);
        if (edge && start < 0) start = step;
        if (!edge && start >= 0) {
          draw(line, start, step);
          start = -1;
        }
      }
    }
  };
  const draw = (x0, y0, x1, y1) => {
    path.moveTo(x + x0 * unit, y + y0 * unit);
    path.lineTo(x + x1 * unit, y + y1 * unit);
  };
  trace([top, bottom], [left, right], (row, column) => at(column, row - 1) !== at(column, row),
    (row, from, to) => draw(from, row, to, row));
  trace([left, right], [top, bottom], (column, row) => at(column - 1, row) !== at(column, row),
    (column, from, to) => draw(column, from, column, to));
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
  const sight = sightOf(context);
  const shown = mask.at(scale * devicePixelRatio);
  const [width, height] = [shown.width * shown.unit, shown.height * shown.unit];
  const { x0, y0, x1, y1 } = sight;
  if (shown.x > x1 || shown.y > y1 || shown.x + width < x0 || shown.y + height < y0) return;
  context.save();
  context.globalAlpha = strong ? Math.min(opacity + 0.15, 1) : opacity;
  context.imageSmoothingEnabled = false;
  context.drawImage(shown.tinted(color), shown.x, shown.y, width, height);
  context.globalAlpha = 1;
  context.lineCap = "square";
  const outline = shown.outline(sight);
  for (const [style, px] of [["rgb(0 0 0 / 55%)", strong ? 4.5 : 3], [color, strong ? 2.5 : 1.5]]) {
    context.strokeStyle = style;
    context.lineWidth = px / scale;
    for (const path of outline) context.stroke(path);
  }
  context.restore();
}

/** The part of the image that a canvas shows, with room for lines, in image coordinates. */
function sightOf(context) {
  const { a, e, f } = context.getTransform();
  const { width, height } = context.canvas;
  const room = 4 / a;
  return { x0: -e / a - room, y0: -f / a - room, x1: (width - e) / a + room, y1: (height - f) / a + room };
}
