// What the mouse does on the picture, with the tool that is chosen. All points are in image
// coordinates.

import { NOTHING, withBox, withMoved } from "../prompting.js";
import { cursorOf, dragged, gripAt, gripsOf } from "./grips.js";
import { drawPrompts, pointAt } from "./prompts.js";

/** The stage's `tool`: see canvas.js. */
export class Pointer {
  /**
   * @param {Stage} stage
   * @param {SmartTool} smartTool
   * @param {{isReady: () => boolean, say: Function, saveBox: Function, menu: Function,
   *   preview: Preview, reshaping: Reshaping}} actions - whether the picture on the stage is that
   *   of the open place; save a box as a figure; open the menu of what is at a point; the mask
   *   under the pointer; the saved box that is changed
   */
  constructor(stage, store, smartTool, actions) {
    Object.assign(this, { stage, store, smartTool, ...actions });
    this.draft = null; // the new box that is being dragged
    this.held = null; // what is being dragged else: {grip} or {index} of a click
    this.moved = null; // the prompts as they will be if it is let go now
  }

  get smart() {
    return this.store.get("tool") === "smart";
  }

  /** What can be grabbed: the object's prompts, or the saved box that is changed. */
  get prompts() {
    return this.smart ? this.smartTool.prompts : { crop: this.reshaping.crop, points: [] };
  }

  press(point, event) {
    this.preview.stop();
    if (this.store.get("playing")) {
      this.store.set({ playing: false });
      return false;
    }
    if (!this.isReady()) return false; // the picture on the stage is that of another frame
    if (this.reshaping.saving) return false;
    const { scale } = this.stage;
    const { crop, points } = this.prompts;
    const index = this.smart ? pointAt(points, point, scale) : -1;
    if (this.smart && event.altKey) {
      if (index >= 0) this.smartTool.removePoint(index);
      return false;
    }
    const grip = event.shiftKey ? null : gripAt(crop, point, scale);
    if (index >= 0) this.held = { index };
    else if (grip) this.held = { grip };
    return true;
  }

  drag(from, to) {
    const { held, prompts } = this;
    const place = this.store.get("place");
    if (held?.grip) {
      this.moved = { ...prompts, crop: dragged(prompts.crop, held.grip, from, to, place) };
    } else if (held) this.moved = withMoved(prompts, held.index, to, place);
    else if (!prompts.crop) this.draft = { from, to };
    this.stage.redraw();
  }

  release(from, to, wasDragged, event) {
    const { draft, held, moved } = this;
    this.cancel();
    if (held && moved) this.letGo(held, moved, to);
    else if (this.reshaping.active) this.say("Drag the edge or a corner of the box. Esc: done.");
    else if (!this.smart) this.drawn(draft);
    else if (draft) this.smartTool.setBox(draft.from, draft.to, this.store.get("autoPoint"));
    else if (!wasDragged) this.click(from, event.shiftKey);
    else this.say("A box is changed by its edges. Save or drop the object for a new one.");
  }

  letGo({ index }, { crop }, to) {
    if (index !== undefined) this.smartTool.movePoint(index, to);
    else if (this.smart) this.smartTool.setBox(...crop, this.store.get("autoPoint"));
    else this.reshaping.change(crop);
  }

  /** A box was drawn with another tool than the Smart Tool; null: a click, no box. */
  drawn(draft) {
    const region = draft && withBox(NOTHING, draft.from, draft.to, this.store.get("place"))?.crop;
    if (this.store.get("tool") === "region") this.store.set({ region: region ?? null });
    else if (region) this.saveBox(region);
    else this.say("Drag from corner to corner to draw a box.");
  }

  /** @param {boolean} negative - the person says so; with simple clicks, so does the mask */
  click(point, negative) {
    const { mask } = this.smartTool;
    const taken = this.store.get("simpleClicks") && mask?.covers(point.x, point.y);
    const refusal = this.smartTool.addPoint(point, !negative && !taken);
    if (refusal) this.say(refusal);
  }

  hover(point, event) {
    const { scale, canvas } = this.stage;
    const { crop, points } = this.prompts;
    const overPoint = this.smart && pointAt(points, point, scale) >= 0;
    const grip = gripAt(crop, point, scale);
    let cursor = grip ? cursorOf(grip) : "";
    if (overPoint) cursor = event.altKey ? "not-allowed" : "move";
    canvas.style.cursor = cursor;
    this.look(point);
  }

  /** Show what a click would give, if that is wanted and could be one. */
  look(point) {
    const wanted = this.store.get("preview") && this.smart && !this.smartTool.active
      && this.isReady() && !this.store.get("playing") && this.store.get("serve")?.state === "ready";
    if (wanted) this.preview.at(this.store.get("place"), point);
    else this.preview.stop();
  }

  /** The pointer is not over the picture any more. */
  leave() {
    this.preview.stop();
  }

  cancel() {
    Object.assign(this, { draft: null, held: null, moved: null });
    this.stage.redraw();
  }

  /** Draw the prompts, the region, and the box that is being dragged. */
  draw(context, scale) {
    const region = this.store.get("tool") === "region" ? this.store.get("region") : null;
    const prompts = region ? { crop: region, points: [] } : this.moved ?? this.prompts;
    const grips = !region && prompts.crop
      ? gripsOf(prompts.crop, scale).map(([x, y]) => ({ x, y }))
      : null;
    drawPrompts(context, prompts, this.draft, scale, grips);
  }
}
