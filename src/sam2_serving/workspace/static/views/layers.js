// What is drawn over the picture: the saved figures, and the object in the making.

import { colorOf } from "../colors.js";
import { isVeiled } from "../keeping.js";
import { drawMask } from "../mask.js";
import { drawOutline, hasOutline } from "../shapes.js";

/**
 * @param {object[]} figures - saved ones, and those that could not be saved
 * @param {Map} masks - of the figures, by their ids
 * @param {SmartTool} tool
 * @param {Preview} preview
 */
export function drawFigures(context, scale, store, figures, masks, tool, preview) {
  const [classes, classId, selected, coloring, hidden] =
    ["classes", "classId", "selected", "coloring", "hidden"].map((name) => store.get(name));
  const opacity = store.get("opacity") / 100;
  const { mask, edited, state } = tool;
  const inWork = state === "error" ? null : edited?.figure.id;
  const veiled = store.get("veiled");
  for (const figure of hidden ? [] : figures) {
    if (isVeiled({ veiled }, figure)) continue;
    const { id } = figure;
    const color = colorOf(figure, { classes, coloring });
    const known = id === inWork ? null : masks.get(id);
    if (known) drawMask(context, known.mask, color, scale, id === selected, opacity);
    else if (hasOutline(figure)) drawOutline(context, figure, color, scale, id === selected, opacity);
  }
  const owner = (edited?.figure ?? store.get("joins"))?.classId ?? classId;
  const color = colorOf({ classId: owner }, { classes });
  if (mask) drawMask(context, mask, color, scale, true, opacity);
  if (preview.mask) drawMask(context, preview.mask, color, scale, false, opacity / 2);
}
