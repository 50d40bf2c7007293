// A box by its grips: corners and the middles of its sides resize it, the rest of its edge moves it.

const GRIP_PX = 9;
const EDGE_PX = 6;
const ROOM_PX = 44; // a shorter side has no grip in its middle: it would be in the corners' way

/** @typedef {{left: boolean, top: boolean, right: boolean, bottom: boolean}} Grip - sides that follow */

/** The corners of an inclusive box as drawn: it ends after its last pixel. */
const edgesOf = ([from, to]) => ({ x0: from.x, y0: from.y, x1: to.x + 1, y1: to.y + 1 });

/** Where grips are: [x, y, grip]. */
export function gripsOf(crop, scale) {
  const { x0, y0, x1, y1 } = edgesOf(crop);
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  const corners = [
    [x0, y0, { left: true, top: true }], [x1, y0, { right: true, top: true }],
    [x1, y1, { right: true, bottom: true }], [x0, y1, { left: true, bottom: true }],
  ];
  const wide = (x1 - x0) * scale >= ROOM_PX;
  const high = (y1 - y0) * scale >= ROOM_PX;
  return [
    ...corners,
    ...(wide ? [[x, y0, { top: true }], [x, y1, { bottom: true }]] : []),
    ...(high ? [[x0, y, { left: true }], [x1, y, { right: true }]] : []),
  ];
}

/** The grip of a box under a point, or null. */
export function gripAt(crop, point, scale) {
  if (!crop) return null;
  const near = gripsOf(crop, scale)
    .find(([x, y]) => Math.hypot(x - point.x, y - point.y) * scale <= GRIP_PX);
  if (near) return near[2];
  const { x0, y0, x1, y1 } = edgesOf(crop);
  const reach = EDGE_PX / scale;
  const within = (value, least, most) => value >= least - reach && value <= most + reach;
  const at = (value, edge) => Math.abs(value - edge) <= reach;
  const upright = within(point.y, y0, y1) && (at(point.x, x0) || at(point.x, x1));
  const level = within(point.x, x0, x1) && (at(point.y, y0) || at(point.y, y1));
  return upright || level ? { left: true, top: true, right: true, bottom: true } : null;
}

export function cursorOf({ left, top, right, bottom }) {
  if (left && right) return "move";
  if ((left && top) || (right && bottom)) return "nwse-resize";
  if ((right && top) || (left && bottom)) return "nesw-resize";
  return left || right ? "ew-resize" : "ns-resize";
}

/**
 * A box as it is when a grip was dragged.
 * @param {[{x, y}, {x, y}]} crop - first and last pixel
 * @param {{width: number, height: number}} size - of the picture, which it does not leave
 */
export function dragged(crop, grip, from, to, { width, height }) {
  const [first, last] = crop;
  if (grip.left && grip.right) {
    const shift = (axis, size) => Math.min(
      Math.max(Math.round(to[axis] - from[axis]), -first[axis]), size - 1 - last[axis],
    );
    const [dx, dy] = [shift("x", width), shift("y", height)];
    return [{ x: first.x + dx, y: first.y + dy }, { x: last.x + dx, y: last.y + dy }];
  }
  const at = (value, size) => Math.min(Math.max(Math.floor(value), 0), size - 1);
  const xs = [grip.left ? at(to.x, width) : first.x, grip.right ? at(to.x, width) : last.x];
  const ys = [grip.top ? at(to.y, height) : first.y, grip.bottom ? at(to.y, height) : last.y];
  return [
    { x: Math.min(...xs), y: Math.min(...ys) },
    { x: Math.max(...xs), y: Math.max(...ys) },
  ];
}
