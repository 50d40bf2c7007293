// The cross-hair of a volume: which slices cross where, in the pixels of each plane's pictures.

// Which plane's slices a plane's picture shows as columns and as rows.
const ACROSS = {
  axial: { column: "sagittal", row: "coronal" },
  coronal: { column: "sagittal", row: "axial" },
  sagittal: { column: "coronal", row: "axial" },
};

/** What lies at the sides of a plane's picture: right, left, front (anterior), back, head, feet. */
export const SIDES = {
  axial: { left: "R", right: "L", top: "A", bottom: "P" },
  coronal: { left: "R", right: "L", top: "S", bottom: "I" },
  sagittal: { left: "A", right: "P", top: "S", bottom: "I" },
};

export const PLANES = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" };

/** The pixel of a plane's picture at which the other two planes cross it. */
export function crossIn(plane, { medium, at }) {
  const { column, row } = ACROSS[plane];
  return { x: flipped(medium, column, at[column]), y: flipped(medium, row, at[row]) };
}

/**
 * Where to go to have the cross-hair at a pixel of a plane's picture.
 * @returns {At} for `openPlace`
 */
export function crossAt(plane, medium, point) {
  const { column, row } = ACROSS[plane];
  const slice = (name, value) => {
    const last = medium.planes[name].slices - 1;
    return Math.min(Math.max(flipped(medium, name, Math.floor(value)), 0), last);
  };
  return { [column]: slice(column, point.x), [row]: slice(row, point.y), slice: undefined };
}

/** Slices are counted from left, back and feet; pictures begin at right, front and head. */
const flipped = ({ planes }, plane, index) => planes[plane].slices - 1 - index;

/** Draw a cross-hair over a picture, clear in its middle so that it hides nothing there. */
export function drawCross(context, { x, y }, width, height, scale) {
  const [cx, cy, gap] = [x + 0.5, y + 0.5, 9 / scale];
  context.save();
  context.beginPath();
  for (const [x0, y0, x1, y1] of [
    [0, cy, cx - gap, cy], [cx + gap, cy, width, cy], [cx, 0, cx, cy - gap], [cx, cy + gap, cx, height],
  ]) {
    if (x1 < x0 || y1 < y0) continue;
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  for (const [style, px] of [["rgb(0 0 0 / 45%)", 2.5], ["#ffd84d", 1]]) {
    context.strokeStyle = style;
    context.lineWidth = px / scale;
    context.stroke();
  }
  context.restore();
}

/**
 * Goes where the pointer is, no faster than pictures come.
 * @param {() => boolean} ready - whether the last place is shown
 */
export class Mover {
  constructor(open, ready) {
    Object.assign(this, { open, ready, wanted: null, since: 0 });
  }

  to(at) {
    const idle = this.wanted === null;
    this.wanted = at;
    if (idle) this.tick();
  }

  tick() {
    if (this.wanted === null) return;
    const now = performance.now();
    if (this.ready() || now - this.since > 250) {
      const { wanted } = this;
      Object.assign(this, { wanted: null, since: now });
      this.open(wanted);
    } else requestAnimationFrame(() => this.tick());
  }
}
