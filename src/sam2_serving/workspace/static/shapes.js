// Boxes and polygons: what they cover, and how they are drawn. (Masks are in mask.js.)

const known = new WeakMap(); // figure -> {path, left, top}

/** @returns {boolean} whether a figure has an outline rather than a bitmap */
export const hasOutline = ({ geometry }) => Boolean(geometry.points);

/**
 * The outline of a box or a polygon in image coordinates; holes are outlines inside it, to be
 * filled by the even-odd rule.
 * @returns {Path2D}
 */
export function outlineOf(figure) {
  if (!known.has(figure)) known.set(figure, pathOf(figure));
  return known.get(figure);
}

function pathOf({ geometryType, geometry: { points } }) {
  const path = new Path2D();
  if (geometryType === "rectangle") {
    const { x0, y0, x1, y1 } = cornersOf(points);
    path.rect(x0, y0, x1 + 1 - x0, y1 + 1 - y0); // its last pixels belong to it
    return path;
  }
  for (const ring of [points.exterior, ...points.interior ?? []]) {
    // A corner is a pixel: the line goes through its middle.
    ring.forEach(([x, y], index) => path[index ? "lineTo" : "moveTo"](x + 0.5, y + 0.5));
    path.closePath();
  }
  return path;
}

/** First and last pixel of a box, whichever corners it was stored with. */
export function cornersOf({ exterior }) {
  const [xs, ys] = [exterior.map(([x]) => x), exterior.map(([, y]) => y)];
  const whole = (least, of) => Math.floor(least(...of));
  return {
    x0: whole(Math.min, xs), y0: whole(Math.min, ys), x1: whole(Math.max, xs), y1: whole(Math.max, ys),
  };
}

/** Draw a box or a polygon; a box is left nearly clear, so that what it holds can be seen. */
export function drawOutline(context, figure, color, scale, strong = false, opacity = 0.4) {
  const path = outlineOf(figure);
  context.save();
  const box = figure.geometryType === "rectangle";
  context.globalAlpha = Math.min((strong ? 0.2 : 0) + opacity * (box ? 0.2 : 0.9), 1);
  context.fillStyle = color;
  context.fill(path, "evenodd");
  context.globalAlpha = 1;
  context.lineJoin = "round";
  context.strokeStyle = "rgb(0 0 0 / 55%)";
  context.lineWidth = (strong ? 5 : 3.5) / scale;
  context.stroke(path);
  context.strokeStyle = color;
  context.lineWidth = (strong ? 3 : 2) / scale;
  context.stroke(path);
  context.restore();
}

/**
 * The smallest of the figures that cover a point, or null.
 * @param {object[]} figures
 * @param {Map} masks - of those that have bitmaps, by their ids
 * @param {CanvasRenderingContext2D} context
 */
export function figureAt(figures, masks, { x, y }, context) {
  const covers = (figure) => {
    if (!hasOutline(figure)) return masks.get(figure.id)?.mask.covers(x, y) ?? false;
    context.save();
    context.resetTransform();
    const inside = context.isPointInPath(outlineOf(figure), x, y, "evenodd");
    context.restore();
    return inside;
  };
  const hit = figures.filter(covers);
  return hit.reduce((least, one) => (least && +least.area <= +one.area ? least : one), null);
}
