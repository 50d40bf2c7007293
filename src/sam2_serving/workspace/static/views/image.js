// The picture view: draw a box, click, see the mask, keep it; or mend a figure.

import { changeFigure, getPicture, saveFigure } from "../api.js";
import { element, iconButton } from "../dom.js";
import { decodeMask, drawMask } from "../mask.js";
import { openPlace } from "../places.js";
import { SmartTool } from "../smart_tool.js";
import { reload } from "./figures.js";
import { bindKeys } from "./keys.js";
import { Notices } from "./notices.js";
import { CORNER_CURSORS, cornerAt, drawPrompts, pointAt } from "./prompts.js";

/** @returns {ImageView} whose `edit(figure)` begins to change a figure of the open place */
export function mountImage(root, stage, store, app, { speak, serve }) {
  const view = new ImageView(root, stage, store, app, speak, serve);
  store.watch(["place"], ({ place }) => view.open(place));
  store.watch(["figures"], ({ figures }) => view.decodeFigures(figures));
  store.watch(["serve", "serveError", "place"], (state) =>
    view.notices.showMissing(state, serve.open));
  store.watch(["modelKey", "deploys"], ({ modelKey }) => {
    if (modelKey) view.smartTool.again();
  });
  store.watch(["selected", "classId", "classes"], () => stage.redraw());
  return view;
}

class ImageView {
  constructor(root, stage, store, app, speak, serve) {
    Object.assign(this, { root, stage, store, app, speak, serve });
    this.place = null;
    this.ready = false; // whether the picture of the place is there
    this.masks = new Map(); // figure id -> {data, mask}
    this.draft = null; // the box that is being dragged
    this.notices = new Notices(root, speak);
    this.part = (id) => root.querySelector(`#${id}`);
    this.buildToolbars();
    this.smartTool = new SmartTool((context, signal) => app.segment(context, signal), () => this.refresh());
    stage.tool = this;
    stage.layers = [(context, scale) => this.draw(context, scale)];
    this.bindKeys();
  }

  bindKeys() {
    const { stage, store } = this;
    bindKeys({
      finish: () => this.finish(),
      drop: () => this.dropObject(),
      undo: () => this.smartTool.undo(),
      redo: () => this.smartTool.redo(),
      fit: () => stage.fit(),
      step: (count) => this.step(count),
      chooseClass: (index) => {
        const chosen = store.get("classes")[index];
        if (chosen) store.set({ classId: chosen.id });
      },
    });
  }

  buildToolbars() {
    const { stage } = this;
    this.buttons = {
      finish: iconButton("check", "Save the figure (Space)", () => this.finish(), ".primary"),
      drop: iconButton("cross", "Drop the object (Esc)", () => this.dropObject()),
      undo: iconButton("undo", "Undo (Ctrl+Z)", () => this.smartTool.undo()),
      redo: iconButton("redo", "Redo (Ctrl+Y)", () => this.smartTool.redo()),
    };
    this.editing = element("output.editing", { hidden: true });
    this.latency = element("output.latency", { "aria-label": "Time of the last answer" });
    this.part("toolbar").append(this.editing, ...Object.values(this.buttons), this.latency);
    // A person who uses the mouse goes on on the picture; one who uses Tab stays where they are.
    addEventListener("click", ({ detail, target }) => {
      if (!detail || !target.closest?.(".stage button, .timeline button, .media button")) return;
      stage.canvas.focus({ preventScroll: true });
    });
    const percent = element("output", { "aria-label": "Zoom" });
    stage.zoomed = (scale) => { percent.textContent = `${Math.round(scale * 100)} %`; };
    this.part("zoom").append(
      iconButton("minus", "Zoom out (wheel)", () => stage.zoom(1 / 1.4)),
      percent,
      iconButton("plus", "Zoom in (wheel)", () => stage.zoom(1.4)),
      iconButton("fit", "Show the whole picture (F)", () => stage.fit()),
    );
  }

  // The place -------------------------------------------------------------------------------------

  async open(place) {
    const before = this.place;
    this.place = place;
    const same = before && before.key === place?.key; // only its window is another
    const alike = before?.medium === place?.medium && before?.width === place?.width
      && before?.height === place?.height;
    if (same) this.smartTool.move(place);
    else this.leave(place, before);
    if (alike) this.stage.hold();
    else this.stage.show(null);
    this.loading?.abort();
    if (!place) return;
    this.loading = new AbortController();
    try {
      await this.load(place, alike, this.loading.signal);
      if (this.figuresOf === place.key || this.place !== place) return;
      await reload(this.store);
      this.figuresOf = place.key;
    } catch (error) {
      if (this.place === place) this.notices.say(error.message, error.requestId);
    }
  }

  leave(place, before) {
    this.ready = false;
    this.figuresOf = null; // key of the place whose figures are here
    this.smartTool.begin(place);
    this.masks.clear();
    const places = before?.medium === place?.medium ? this.store.get("places") : null;
    this.store.set({ figures: [], selected: null, places });
  }

  async load(place, alike, signal) {
    const picture = await getPicture(place, signal);
    if (this.place !== place) {
      picture.close();
      return;
    }
    this.stage.show(picture, alike);
    this.ready = true;
    this.speak(`${place.name} is open.`);
  }

  /** Go on by some frames or slices. */
  step(count) {
    const { medium, at } = this.place ?? {};
    if (at?.frame !== undefined) openPlace(this.store, medium, { frame: at.frame + count });
    if (at?.slice !== undefined) openPlace(this.store, medium, { slice: at.slice + count });
  }

  async decodeFigures(figures) {
    const masks = new Map();
    for (const { id, geometry } of figures) {
      if (!geometry.bitmap) continue;
      const { origin: [x, y], data } = geometry.bitmap;
      const known = this.masks.get(id);
      const unchanged = known && known.data === data && known.mask.x === x && known.mask.y === y;
      masks.set(id, unchanged ? known : { data, mask: await decodeMask({ x, y }, data) });
    }
    if (this.store.get("figures") !== figures) return;
    this.masks = masks;
    this.part("canvas").dataset.figures = masks.size;
    this.stage.redraw();
  }

  // Pointer events, in image coordinates ---------------------------------------------------------

  press(point, event) {
    if (!this.ready) return false; // the picture on the stage is that of another frame
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
    if (this.smartTool.prompts.crop && !this.corner) return;
    this.draft = { from: this.corner?.opposite ?? from, to };
    this.stage.redraw();
  }

  release(from, to, dragged, event) {
    const draft = this.draft;
    this.draft = null;
    if (draft) this.smartTool.setBox(draft.from, draft.to);
    else if (!dragged) this.click(from, !event.shiftKey);
    else this.notices.say("A box is changed by its corners. Save or drop the object for a new one.");
    this.corner = null;
    this.stage.redraw();
  }

  click(point, positive) {
    const refusal = this.smartTool.addPoint(point, positive);
    if (refusal) this.notices.say(refusal);
  }

  hover(point, event) {
    const { crop, points } = this.smartTool.prompts;
    const corner = cornerAt(crop, point, this.stage.scale);
    const removable = event.altKey && pointAt(points, point, this.stage.scale) >= 0;
    const cursor = removable ? "not-allowed" : CORNER_CURSORS[corner?.index];
    this.stage.canvas.style.cursor = cursor ?? "";
  }

  cancel() {
    this.draft = null;
    this.stage.redraw();
  }

  // The object ------------------------------------------------------------------------------------

  edit(figure) {
    const known = this.masks.get(figure.id);
    if (!known || !this.ready) return;
    this.smartTool.edit(figure, known.mask);
    this.stage.canvas.focus({ preventScroll: true });
    this.speak("Editing: click to add or to take away.");
  }

  dropObject() {
    if (this.draft) this.cancel();
    else if (this.smartTool.active) {
      this.smartTool.drop();
      this.speak("Dropped. Undo brings it back.");
    }
  }

  async finish() {
    if (!this.smartTool.active || this.saving) return;
    if (!this.smartTool.edited && this.store.get("classId") === null) {
      this.notices.say("Add a class first: a figure needs one.");
      return;
    }
    this.saving = true;
    const saved = await this.tried("Not saved", () => this.save());
    this.saving = false;
    if (!saved || this.place.key !== saved.key) return;
    const shown = await this.tried("Saved, but the list is not up to date", async () => {
      await reload(this.store);
      return true;
    });
    if (shown) this.speak("The figure is saved.");
  }

  /** @returns {Promise<object|null>} the place that the figure was saved on, if it was */
  async save() {
    const { place, smartTool } = this;
    const edited = smartTool.edited?.figure;
    const classId = this.store.get("classId");
    const object = await smartTool.finished();
    if (this.place.key !== place.key) return null; // the person went on: the object waits there
    const { state, prompts } = smartTool;
    if (!object) {
      if (state === "edit") this.notices.say("Nothing is changed yet: click first.");
      else if (state !== "error") this.notices.say("There is no mask to save yet.");
      return null;
    }
    const { description } = edited ?? {};
    if (edited) await changeFigure(edited.id, { class_id: edited.classId, description, ...object });
    else await saveFigure(place, { class_id: classId, ...object });
    smartTool.saved(place, prompts);
    return place;
  }

  /** What some work gives, or null; why it failed is said. */
  async tried(problem, work) {
    try {
      return await work();
    } catch (error) {
      this.notices.say(`${problem}: ${error.message}`, error.requestId);
      return null;
    }
  }

  // What is shown ---------------------------------------------------------------------------------

  refresh() {
    const tool = this.smartTool;
    if (!tool) return; // the tool's first breath, inside its constructor
    const state = this.place ? tool.state : "empty";
    this.root.dataset.state = state;
    this.notices.hint(state);
    this.buttons.finish.disabled = !["mask", "waiting"].includes(state);
    this.buttons.drop.disabled = !tool.active;
    this.buttons.undo.disabled = !tool.past.length;
    this.buttons.redo.disabled = !tool.future.length;
    this.editing.hidden = !tool.edited;
    if (tool.edited) this.editing.textContent = `Editing #${tool.edited.figure.id}`;
    if (tool.latencyMs !== undefined) {
      this.store.set({ latencyMs: tool.latencyMs });
      this.latency.textContent = `${Math.round(tool.latencyMs)} ms`;
    }
    const { error } = tool;
    if (state === "error") this.notices.say(error.message, error.requestId, () => tool.request());
    else this.notices.say(null);
    if (state === "error") this.serve.refresh(); // perhaps the model was stopped elsewhere
    if (state === "mask") this.speak("The mask is there.");
    this.stage.redraw();
  }

  draw(context, scale) {
    if (this.stage.held && !this.ready) return; // masks of one frame on the picture of another
    const { classes, classId, figures, selected } = Object.fromEntries(
      ["classes", "classId", "figures", "selected"].map((name) => [name, this.store.get(name)]),
    );
    const colorOf = (id) => classes.find((one) => one.id === id)?.color ?? "#888888";
    const { mask, prompts, edited, state } = this.smartTool;
    const inWork = state === "error" ? null : edited?.figure.id;
    for (const { id, classId: owner } of figures) {
      const known = id === inWork ? null : this.masks.get(id);
      if (known) drawMask(context, known.mask, colorOf(owner), scale, id === selected);
    }
    const owner = edited?.figure.classId ?? classId;
    if (mask) drawMask(context, mask, colorOf(owner), scale, true);
    drawPrompts(context, prompts, this.draft, scale);
  }
}
