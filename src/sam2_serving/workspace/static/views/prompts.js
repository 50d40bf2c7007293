// How prompts look on the stage, and which of them a pointer touches.

const GRIP_PX = 9;
const DOT_PX = 7;
const POSITIVE = "#1fa463";
const NEGATIVE = "#d93a3a";

export const CORNER_CURSORS = ["nwse-resize", "nesw-resize", "nwse-resize", "nesw-resize"];

/** The four corners of an inclusive box as drawn: it ends after its last pixel. */
function cornersOf([from, to]) {
  const [x1, y1] = [to.x + 1, to.y + 1];
  return [
    { x: from.x, y: from.y },
    { x: x1, y: from.y },
    { x: x1, y: y1 },
    { x: from.x, y: y1 },
  ];
}

/**
 * The corner of a box under a point.
 * @returns {{index: number, opposite: {x, y}}|null} `opposite` lies inside the box's last pixel
 */
export function cornerAt(crop, point, scale) {
  if (!crop) return null;
  const corners = cornersOf(crop);
  const index = corners.findIndex(
    ({ x, y }) => Math.hypot(x - point.x, y - point.y) * scale <= GRIP_PX,
  );
  if (index < 0) return null;
  const { x, y } = corners[(index + 2) % 4];
  return { index, opposite: { x: Math.min(x, crop[1].x), y: Math.min(y, crop[1].y) } };
}

/** Index of the click under a point, the newest first, or -1. */
export function pointAt(points, point, scale) {
  return points.findLastIndex(
    ({ x, y }) => Math.hypot(x + 0.5 - point.x, y + 0.5 - point.y) * scale <= DOT_PX + 3,
  );
}

/**
 * Draw the box (or the one that is being dragged) and the clicks.
 * @param {{x, y}[]} [grips] - of the box, if they are not its corners
 */
export function drawPrompts(context, { crop, points }, draft, scale, grips = null) {
  if (draft) drawBox(context, draft.from, draft.to, scale);
  else if (crop) {
    const [from, , to] = cornersOf(crop);
    drawBox(context, from, to, scale);
    for (const grip of grips ?? cornersOf(crop)) drawGrip(context, grip, scale);
  }
  for (const point of points) drawClick(context, point, scale);
}

function drawBox(context, from, to, scale) {
  const sides = [from.x, from.y, to.x - from.x, to.y - from.y];
  context.save();
  context.lineWidth = 3 / scale;
  context.strokeStyle = "rgb(0 0 0 / 55%)";
  context.strokeRect(...sides);
  context.lineWidth = 1.5 / scale;
  context.strokeStyle = "#ffffff";
  context.setLineDash([6 / scale, 4 / scale]);
  context.strokeRect(...sides);
  context.restore();
}

function drawGrip(context, { x, y }, scale) {
  const side = 8 / scale;
  context.lineWidth = 1 / scale;
  context.fillStyle = "#ffffff";
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  context.fillRect(x - side / 2, y - side / 2, side, side);
  context.strokeRect(x - side / 2, y - side / 2, side, side);
}

/** A click: green with a plus or red with a minus, so that colour is not the only difference. */
function drawClick(context, { x, y, positive }, scale) {
  const [cx, cy, radius] = [x + 0.5, y + 0.5, DOT_PX / scale];
  context.save();
  context.beginPath();
  context.arc(cx, cy, radius, 0, 2 * Math.PI);
  context.fillStyle = positive ? POSITIVE : NEGATIVE;
  context.fill();
  context.lineWidth = 2 / scale;
  context.strokeStyle = "#ffffff";
  context.stroke();
  const arm = radius * 0.5;
  context.beginPath();
  context.moveTo(cx - arm, cy);
  context.lineTo(cx + arm, cy);
  if (positive) {
    context.moveTo(cx, cy - arm);
    context.lineTo(cx, cy + arm);
  }
  context.stroke();
  context.restore();
}
