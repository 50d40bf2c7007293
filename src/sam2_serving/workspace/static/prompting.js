// Prompts: a box and clicks, how they change, and how they are written down.

/**
 * A box is its first and last pixel; clicks lie inside it. Never changed, only replaced.
 * @typedef {{crop: [{x, y}, {x, y}]|null, points: {x: number, y: number, positive: boolean}[]}} Prompts
 */

export const NOTHING = Object.freeze({ crop: null, points: Object.freeze([]) });

/**
 * Prompts with another box: two corners in image coordinates, any order. Clicks outside it go.
 * @returns {Prompts|null} null: the box would be too small to be meant
 */
export function withBox(prompts, from, to, { width, height }) {
  const [x0, x1] = span(from.x, to.x, width);
  const [y0, y1] = span(from.y, to.y, height);
  if (x1 - x0 < 2 || y1 - y0 < 2) return null;
  const crop = [{ x: x0, y: y0 }, { x: x1, y: y1 }];
  return { crop, points: prompts.points.filter((point) => isInside(crop, point)) };
}

/** The pixel in the middle of a box. */
const middleOf = ([from, to]) => ({
  x: Math.floor((from.x + to.x) / 2), y: Math.floor((from.y + to.y) / 2),
});

/**
 * Prompts whose new box has a positive click in its middle, unless a person said already what is
 * meant. When the box is changed later, a click in its middle that is the only one goes with it.
 * @param {Prompts} prompts - with the box
 * @param {Prompts} before - the box was drawn or changed
 */
export function withMiddle(prompts, before) {
  const { crop, points } = prompts;
  const middle = { ...middleOf(crop), positive: true };
  if (!before.crop) {
    return points.some(({ positive }) => positive) ? prompts : { crop, points: [...points, middle] };
  }
  const [only, more] = before.points;
  const { x, y } = middleOf(before.crop);
  const follows = only?.positive && !more && only.x === x && only.y === y;
  return follows ? { crop, points: [middle] } : prompts;
}

/** Prompts one click of which is elsewhere: in the box, or else in the picture. */
export function withMoved(prompts, index, to, { width, height }) {
  const [first, last] = prompts.crop ?? [{ x: 0, y: 0 }, { x: width - 1, y: height - 1 }];
  const at = (axis) => Math.min(Math.max(Math.floor(to[axis]), first[axis]), last[axis]);
  const moved = { ...prompts.points[index], x: at("x"), y: at("y") };
  return { ...prompts, points: prompts.points.with(index, moved) };
}

/**
 * Prompts with one more click.
 * @returns {{prompts: Prompts}|{refusal: string}} why it cannot be added, in words
 */
export function withPoint(prompts, point, positive, { width, height }) {
  const [x, y] = [Math.floor(point.x), Math.floor(point.y)];
  if (x < 0 || y < 0 || x >= width || y >= height) return { refusal: "Click inside the picture." };
  if (prompts.crop && !isInside(prompts.crop, { x, y })) {
    return { refusal: "Click inside the box, or drag its corners or edges first." };
  }
  return { prompts: { ...prompts, points: [...prompts.points, { x, y, positive }] } };
}

export function withoutPoint(prompts, index) {
  const points = prompts.points.filter((_, at) => at !== index);
  return points.length || prompts.crop ? { ...prompts, points } : NOTHING;
}

/** What the wire calls them: the platform's contract, section 3.1. */
export function wirePrompts({ crop, points }) {
  const clicks = (wanted) =>
    points.filter(({ positive }) => positive === wanted).map(({ x, y }) => ({ x, y }));
  return { ...(crop ? { crop } : {}), positive: clicks(true), negative: clicks(false) };
}

/** What a figure keeps of them: its `smartToolInput`. */
export function keptPrompts(prompts) {
  const { crop, positive, negative } = wirePrompts(prompts);
  const pairs = (points) => points.map(({ x, y }) => [x, y]);
  const kept = { positive: pairs(positive), negative: pairs(negative), visible: true };
  return crop ? { ...kept, crop: pairs(crop) } : kept;
}

/** The prompts that a figure keeps, or null if there are none that this page understands. */
export function promptsOf(kept) {
  const { crop = null, positive = [], negative = [] } = kept ?? {};
  const isPair = (pair) => Array.isArray(pair) && pair.length === 2 && pair.every(Number.isInteger);
  const arePairs = (pairs) => Array.isArray(pairs) && pairs.every(isPair);
  if (![positive, negative, crop ?? []].every(arePairs)) return null;
  if (crop ? crop.length !== 2 : !positive.length) return null;
  const clicks = (pairs, wanted) => pairs.map(([x, y]) => ({ x, y, positive: wanted }));
  return {
    crop: crop && cornersOf(crop),
    points: [...clicks(positive, true), ...clicks(negative, false)],
  };
}

/** The first and the last pixel of a box of which any two opposite corners are given. */
function cornersOf([[xa, ya], [xb, yb]]) {
  return [
    { x: Math.min(xa, xb), y: Math.min(ya, yb) },
    { x: Math.max(xa, xb), y: Math.max(ya, yb) },
  ];
}

function isInside([from, to], { x, y }) {
  return x >= from.x && x <= to.x && y >= from.y && y <= to.y;
}

function span(from, to, size) {
  const clamp = (value) => Math.min(Math.max(Math.floor(value), 0), size - 1);
  return [clamp(Math.min(from, to)), clamp(Math.max(from, to))];
}
