// What the mouse does on the picture, with the tool that is chosen. All points are in image
// coordinates.

import { NOTHING, withBox } from "../prompting.js";
import { CORNER_CURSORS, cornerAt, drawPrompts, pointAt } from "./prompts.js";

/** The stage's `tool`: see canvas.js. */
export class Pointer {
  /**
   * @param {Stage} stage
   * @param {SmartTool} smartTool
   * @param {{isReady: () => boolean, say: Function, saveBox: Function, menu: Function}} actions -
   *   whether the picture on the stage is that of the open place; save a box as a figure; open the
   *   menu of what is at a point
   */
  constructor(stage, store, smartTool, actions) {
    Object.assign(this, { stage, store, smartTool, ...actions });
    this.draft = null; // the box that is being dragged
    this.corner = null; // the corner of the object's box that is being dragged
  }

  get smart() {
    return this.store.get("tool") === "smart";
  }

  press(point, event) {
    if (this.store.get("playing")) {
      this.store.set({ playing: false });
      return false;
    }
    if (!this.isReady()) return false; // the picture on the stage is that of another frame
    if (!this.smart) return true;
    const { crop, points } = this.smartTool.prompts;
    if (event.altKey) {
      const index = pointAt(points, point, this.stage.scale);
      if (index >= 0) this.smartTool.removePoint(index);
      return false;
    }
    this.corner = event.shiftKey ? null : cornerAt(crop, point, this.stage.scale);
    return true;
  }

  drag(from, to) {
    if (this.smart && this.smartTool.prompts.crop && !this.corner) return;
    this.draft = { from: this.corner?.opposite ?? from, to };
    this.stage.redraw();
  }

  release(from, to, dragged, event) {
    const { draft } = this;
    this.draft = null;
    if (!this.smart) this.drawn(draft);
    else if (draft) this.smartTool.setBox(draft.from, draft.to);
    else if (!dragged) this.click(from, !event.shiftKey);
    else this.say("A box is changed by its corners. Save or drop the object for a new one.");
    this.corner = null;
    this.stage.redraw();
  }

  /** A box was drawn with another tool than the Smart Tool; null: a click, no box. */
  drawn(draft) {
    const region = draft && withBox(NOTHING, draft.from, draft.to, this.store.get("place"))?.crop;
    if (this.store.get("tool") === "region") this.store.set({ region: region ?? null });
    else if (region) this.saveBox(region);
    else this.say("Drag from corner to corner to draw a box.");
  }

  click(point, positive) {
    const refusal = this.smartTool.addPoint(point, positive);
    if (refusal) this.say(refusal);
  }

  hover(point, event) {
    if (!this.smart) {
      this.stage.canvas.style.cursor = "";
      return;
    }
    const { crop, points } = this.smartTool.prompts;
    const corner = cornerAt(crop, point, this.stage.scale);
    const removable = event.altKey && pointAt(points, point, this.stage.scale) >= 0;
    const cursor = removable ? "not-allowed" : CORNER_CURSORS[corner?.index];
    this.stage.canvas.style.cursor = cursor ?? "";
  }

  cancel() {
    this.draft = null;
    this.corner = null;
    this.stage.redraw();
  }

  /** Draw the prompts, the region, and the box that is being dragged. */
  draw(context, scale) {
    const { smart, draft } = this;
    drawPrompts(context, this.smartTool.prompts, smart ? draft : null, scale);
    if (smart) return;
    const crop = this.store.get("tool") === "region" ? this.store.get("region") : null;
    drawPrompts(context, { crop, points: [] }, draft, scale);
  }
}
