// The image view: draw a box, click, see the mask, keep it.

import { getPicture, saveFigure } from "../api.js";
import { element, iconButton } from "../dom.js";
import { decodeMask, drawMask } from "../mask.js";
import { SmartTool } from "../smart_tool.js";
import { reload } from "./figures.js";
import { bindKeys } from "./keys.js";
import { CORNER_CURSORS, cornerAt, drawPrompts, pointAt } from "./prompts.js";

const HINTS = {
  empty: "",
  idle: "Drag a box around an object, or click on it",
  waiting: "Computing the mask…",
  mask: "Click: more of this · Shift+click: not this · Alt+click: remove a click · Space: save",
  none: "Nothing found there. Click on the object, or undo with Ctrl+Z",
  error: "Undo with Ctrl+Z, drop with Esc, or try again",
};

export function mountImage(root, stage, store, app, { speak, serve }) {
  const view = new ImageView(root, stage, store, app, speak, serve);
  store.watch(["image"], ({ image }) => view.open(image));
  store.watch(["figures"], ({ figures }) => view.decodeFigures(figures));
  store.watch(["serve", "serveError"], () => view.showEmpty());
  store.watch(["selected", "classId", "classes"], () => stage.redraw());
}

class ImageView {
  constructor(root, stage, store, app, speak, serve) {
    Object.assign(this, { root, stage, store, app, speak, serve });
    this.masks = new Map(); // figure id -> Mask
    this.draft = null; // the box that is being dragged
    this.part = (id) => root.querySelector(`#${id}`);
    this.buildToolbars();
    this.smartTool = new SmartTool((context, signal) => app.segment(context, signal), () => this.refresh());
    stage.tool = this;
    stage.layers = [(context, scale) => this.draw(context, scale)];
    bindKeys({
      finish: () => this.finish(),
      drop: () => this.dropObject(),
      undo: () => this.smartTool.undo(),
      redo: () => this.smartTool.redo(),
      fit: () => stage.fit(),
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
    this.latency = element("output.latency", { "aria-label": "Time of the last answer" });
    this.part("toolbar").append(...Object.values(this.buttons), this.latency);
    const percent = element("output", { "aria-label": "Zoom" });
    stage.zoomed = (scale) => { percent.textContent = `${Math.round(scale * 100)} %`; };
    this.part("zoom").append(
      iconButton("minus", "Zoom out (wheel)", () => stage.zoom(1 / 1.4)),
      percent,
      iconButton("plus", "Zoom in (wheel)", () => stage.zoom(1.4)),
      iconButton("fit", "Show the whole image (F)", () => stage.fit()),
    );
  }

  async open(image) {
    this.smartTool.begin(image);
    this.masks.clear();
    this.store.set({ figures: [], selected: null });
    this.stage.show(null);
    this.showEmpty();
    if (!image) return;
    try {
      const picture = await getPicture(image);
      if (this.store.get("image")?.id !== image.id) {
        picture.close();
        return;
      }
      this.stage.show(picture);
      this.speak(`${image.name} is open.`);
      await reload(this.store);
    } catch (error) {
      this.say(error.message, error.requestId);
    }
  }

  async decodeFigures(figures) {
    const wanted = figures.filter(({ geometry }) => geometry.bitmap);
    const masks = new Map();
    for (const { id, geometry } of wanted) {
      const [x, y] = geometry.bitmap.origin;
      masks.set(id, this.masks.get(id) ?? (await decodeMask({ x, y }, geometry.bitmap.data)));
    }
    if (this.store.get("figures") !== figures) return;
    this.masks = masks;
    this.part("canvas").dataset.figures = masks.size;
    this.stage.redraw();
  }

  // Pointer events, in image coordinates ---------------------------------------------------------

  press(point, event) {
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
    const { crop } = this.smartTool.prompts;
    if (crop && !this.corner) return; // a box is changed by its corners only
    this.draft = { from: this.corner?.opposite ?? from, to };
    this.stage.redraw();
  }

  release(from, to, dragged, event) {
    const draft = this.draft;
    this.draft = null;
    if (draft) this.smartTool.setBox(draft.from, draft.to);
    else if (!this.corner || !dragged) this.click(from, !event.shiftKey);
    this.corner = null;
    this.stage.redraw();
  }

  click(point, positive) {
    const refusal = this.smartTool.addPoint(point, positive);
    if (refusal) this.say(refusal);
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

  dropObject() {
    if (this.draft) this.cancel();
    else this.smartTool.drop();
  }

  async finish() {
    const { image, classId } = { image: this.store.get("image"), classId: this.store.get("classId") };
    if (!this.smartTool.active || this.saving) return;
    if (classId === null) {
      this.say("Add a class first: a figure needs one.");
      return;
    }
    this.saving = true;
    try {
      const object = await this.smartTool.finished();
      if (!object) {
        if (this.smartTool.state !== "error") this.say("There is no mask to save yet.");
        return;
      }
      await saveFigure(image.id, { class_id: classId, ...object });
      this.smartTool.begin(this.store.get("image"));
      await reload(this.store);
      this.speak("The figure is saved.");
    } catch (error) {
      this.say(`Not saved: ${error.message}`, error.requestId);
    } finally {
      this.saving = false;
    }
  }

  // What is shown ---------------------------------------------------------------------------------

  refresh() {
    const tool = this.smartTool;
    if (!tool) return; // the tool's first breath, inside its constructor
    const state = this.store.get("image") ? tool.state : "empty";
    this.root.dataset.state = state;
    this.hint(state);
    this.buttons.finish.disabled = !["mask", "waiting"].includes(state);
    this.buttons.drop.disabled = !tool.active;
    this.buttons.undo.disabled = !tool.past.length;
    this.buttons.redo.disabled = !tool.future.length;
    if (tool.latencyMs !== undefined) {
      this.store.set({ latencyMs: tool.latencyMs });
      this.latency.textContent = `${Math.round(tool.latencyMs)} ms`;
    }
    if (state === "error") this.say(tool.error.message, tool.error.requestId, () => tool.request());
    else this.say(null);
    if (state === "error") this.serve.refresh(); // perhaps the model was stopped elsewhere
    if (state === "mask") this.speak("The mask is there.");
    this.stage.redraw();
  }

  /** Say what can be done now; "computing" only when it takes long enough to be read. */
  hint(state) {
    const show = () => {
      this.part("hint").textContent = HINTS[state];
      this.part("hint").classList.toggle("busy", state === "waiting");
    };
    clearTimeout(this.hintTimer);
    if (state === "waiting") this.hintTimer = setTimeout(show, 250);
    else show();
  }

  /** Show a sentence over the stage, with the request's id and a way to try again. */
  say(sentence, requestId = null, again = null) {
    const notice = this.part("notice");
    notice.hidden = !sentence;
    if (!sentence) return;
    const words = element("div", {}, element("p", {}, sentence));
    if (requestId) words.append(element("code", {}, `request ${requestId}`));
    notice.replaceChildren(words);
    if (again) {
      notice.append(element("button", { type: "button", on: { click: again } }, "Try again"));
    }
    this.speak(sentence);
  }

  showEmpty() {
    const { serve, serveError } = {
      serve: this.store.get("serve"), serveError: this.store.get("serveError"),
    };
    const empty = this.part("empty");
    const words = serveError ?? (serve?.state === "stopped" ? "No model is served yet." : null);
    empty.hidden = !words || !this.store.get("image");
    if (empty.hidden) return;
    const open = element("button.primary", { type: "button", on: { click: this.serve.open } });
    open.textContent = serveError ? "Details" : "Choose a model";
    empty.replaceChildren(element("p", {}, words), open);
  }

  draw(context, scale) {
    const { classes, classId, figures, selected } = Object.fromEntries(
      ["classes", "classId", "figures", "selected"].map((name) => [name, this.store.get(name)]),
    );
    const colorOf = (id) => classes.find((one) => one.id === id)?.color ?? "#888888";
    for (const { id, classId: owner } of figures) {
      const mask = this.masks.get(id);
      if (mask) drawMask(context, mask, colorOf(owner), scale, id === selected);
    }
    const { mask, prompts } = this.smartTool;
    if (mask) drawMask(context, mask, colorOf(classId), scale, true);
    drawPrompts(context, prompts, this.draft, scale);
  }
}
