// The two toolbars over the stage: the Smart Tool's, and the zoom's.

import { element, iconButton } from "../dom.js";

/**
 * @param {Element} root
 * @param {{finish, drop, undo, redo}} actions - functions
 * @returns {(tool: SmartTool, joins: object|null, changes: Changes, reshaping: Reshaping) => void} shows what can be done
 *   now, and whose figure it will be
 */
export function mountToolbar(root, actions) {
  const buttons = {
    finish: iconButton("check", "Save the figure (Space)", actions.finish, ".primary"),
    drop: iconButton("cross", "Drop the object (Esc)", actions.drop),
    undo: iconButton("undo", "Undo (Ctrl+Z)", actions.undo),
    redo: iconButton("redo", "Redo (Ctrl+Y)", actions.redo),
  };
  const editing = element("output.editing", { hidden: true });
  const latency = element("output.latency", { "aria-label": "Time of the last answer" });
  root.append(editing, ...Object.values(buttons), latency);
  return (tool, joins, changes, reshaping) => {
    buttons.finish.disabled = !reshaping.active && !["mask", "waiting"].includes(tool.state);
    buttons.drop.disabled = !tool.active;
    buttons.undo.disabled = !tool.past.length && !changes.past.length && !changes.making;
    buttons.redo.disabled = !tool.future.length && !changes.future.length;
    editing.hidden = !reshaping.active && !tool.edited && !joins;
    if (reshaping.active) editing.textContent = "Editing a box";
    else if (tool.edited) editing.textContent = `Editing #${tool.edited.figure.id}`;
    else if (joins) editing.textContent = `For object ${joins.id}`;
    if (tool.latencyMs !== undefined) latency.textContent = `${Math.round(tool.latencyMs)} ms`;
  };
}

export function mountZoom(root, stage) {
  const percent = element("output", { "aria-label": "Zoom" });
  stage.zoomed = (scale) => { percent.textContent = `${Math.round(scale * 100)} %`; };
  root.append(
    iconButton("minus", "Zoom out (wheel)", () => stage.zoom(1 / 1.4)),
    percent,
    iconButton("plus", "Zoom in (wheel)", () => stage.zoom(1.4)),
    iconButton("fit", "Show the whole picture (F)", () => stage.fit()),
  );
}
