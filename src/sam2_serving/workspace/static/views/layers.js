// What is drawn over the picture: the saved figures, and the object in the making.

import { colorOf } from "../colors.js";
import { drawMask } from "../mask.js";
import { drawOutline, hasOutline } from "../shapes.js";

/**
 * @param {object[]} figures - saved ones, and those that could not be saved
 * @param {Map} masks - of the figures, by their ids
 * @param {SmartTool} tool
 */
export function drawFigures(context, scale, store, figures, masks, tool) {
  const [classes, classId, selected, coloring] =
    ["classes", "classId", "selected", "coloring"].map((name) => store.get(name));
  const { mask, edited, state } = tool;
  const inWork = state === "error" ? null : edited?.figure.id;
  for (const figure of figures) {
    const { id } = figure;
    const color = colorOf(figure, { classes, coloring });
    const known = id === inWork ? null : masks.get(id);
    if (known) drawMask(context, known.mask, color, scale, id === selected);
    else if (hasOutline(figure)) drawOutline(context, figure, color, scale, id === selected);
  }
  const owner = (edited?.figure ?? store.get("joins"))?.classId ?? classId;
  if (mask) drawMask(context, mask, colorOf({ classId: owner }, { classes }), scale, true);
}
