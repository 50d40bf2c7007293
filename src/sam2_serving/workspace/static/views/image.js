// The picture view: draw a box, click, see the mask, keep it; or mend a figure.

import { changeFigure, getFigures, getPicture, saveFigure } from "../api.js";
import { unsavedFigures } from "../changes.js";
import { decodeMasks } from "../mask.js";
import { openPlace } from "../places.js";
import { NOTHING, withBox } from "../prompting.js";
import { figureAt, hasOutline } from "../shapes.js";
import { SmartTool } from "../smart_tool.js";
import { reload, reloadFigures } from "./figures.js";
import { bindKeys } from "./keys.js";
import { drawFigures } from "./layers.js";
import { toggleColoring } from "./modes.js";
import { CORNER_CURSORS, cornerAt, drawPrompts, pointAt } from "./prompts.js";
import { mountToolbar, mountZoom } from "./toolbars.js";

/**
 * @param {{changes: Changes, openMenu: Function}} tools - among others
 * @returns {ImageView} whose `edit(figure)` begins to change a figure of the open place
 */
export function mountImage(root, stage, store, app, tools) {
  const view = new ImageView(root, stage, store, app, tools);
  store.watch(["place"], ({ place }) => view.open(place));
  store.watch(["figures", "unsaved"], () => view.decodeFigures());
  store.watch(["serve", "serveError", "place"], (state) =>
    view.notices.showMissing(state, tools.serve.open));
  store.watch(["modelKey", "deploys"], ({ modelKey }) => {
    if (modelKey) view.smartTool.again();
  });
  store.watch(["joins", "tool"], () => view.refresh());
  store.watch(["selected", "classId", "classes", "region", "coloring"], () => stage.redraw());
  return view;
}

class ImageView {
  constructor(root, stage, store, app, tools) {
    const { notices, speak, changes, openMenu, serve, reel, track } = tools;
    Object.assign(this, { root, stage, store, app, notices, speak, changes, openMenu, serve, reel, track });
    this.place = null;
    this.ready = false; // whether the picture of the place is there
    this.masks = new Map(); // figure id -> {data, mask}
    this.unsaved = []; // figures that could not be saved
    this.draft = null; // the box that is being dragged
    this.part = (id) => root.querySelector(`#${id}`);
    this.bindActions();
    this.smartTool = new SmartTool((context, signal) => app.segment(context, signal), () => this.refresh());
    stage.tool = this;
    stage.layers = [(context, scale) => this.draw(context, scale)];
  }

  bindActions() {
    const { stage, store } = this;
    const object = {
      finish: () => this.finish(),
      drop: () => this.dropObject(),
      undo: () => this.latest("past")?.undo(),
      redo: () => this.latest("future")?.redo(),
    };
    bindKeys({
      ...object,
      finish: () => (this.smartTool.active ? this.finish() : this.play()),
      play: () => this.play(),
      track: () => this.track(),
      chooseTool: (tool) => store.set({ tool }),
      toggleColoring: () => toggleColoring(store),
      fit: () => stage.fit(),
      step: (count) => this.step(count),
      chooseClass: (index) => {
        const chosen = store.get("classes")[index];
        if (chosen) store.set({ classId: chosen.id });
      },
    });
    this.showTool = mountToolbar(this.part("toolbar"), object);
    mountZoom(this.part("zoom"), stage);
    // A person who uses the mouse goes on on the picture; one who uses Tab stays where they are.
    addEventListener("click", ({ detail, target }) => {
      if (!detail || !target.closest?.(".stage button, .timeline button, .media button")) return;
      stage.canvas.focus({ preventScroll: true });
    });
  }

  // The place -------------------------------------------------------------------------------------

  async open(place) {
    const before = this.place;
    this.place = place;
    const film = place && this.reel.take(place.key);
    if (film) {
      this.showFilm(film, place, before);
      return;
    }
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
      // Going on in a medium changes nothing but what is looked at.
      const known = before?.medium === place.medium && this.store.get("places");
      await (known ? reloadFigures : reload)(this.store);
      this.figuresOf = place.key;
    } catch (error) {
      if (this.place === place) this.notices.say(error.message, error.requestId);
    }
  }

  /** Show a frame of the film that is played: all that it needs is here. */
  showFilm({ picture, figures, masks }, place, before) {
    this.loading?.abort();
    this.leave(place, before, figures, masks);
    this.showMasks(masks);
    this.figuresOf = place.key;
    this.ready = true;
    this.stage.show(picture, true);
  }

  leave(place, before, figures = [], masks = new Map()) {
    this.ready = false;
    this.figuresOf = null; // key of the place whose figures are here
    this.smartTool.begin(place);
    this.masks = masks;
    const places = before?.medium === place?.medium ? this.store.get("places") : null;
    this.store.set({ figures, selected: null, region: null, places });
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

  /** Play the video, or pause. */
  play() {
    if (this.place?.medium.kind === "video") this.store.set({ playing: !this.store.get("playing") });
  }

  /** Go on by some frames or slices. */
  step(count) {
    const { medium, at } = this.place ?? {};
    if (at?.frame !== undefined) openPlace(this.store, medium, { frame: at.frame + count });
    if (at?.slice !== undefined) openPlace(this.store, medium, { slice: at.slice + count });
  }

  async decodeFigures() {
    const [figures, kept] = ["figures", "unsaved"].map((name) => this.store.get(name));
    const unsaved = unsavedFigures(kept);
    const masks = await decodeMasks([...figures, ...unsaved], this.masks);
    if (this.store.get("figures") !== figures || this.store.get("unsaved") !== kept) return;
    this.unsaved = unsaved;
    this.showMasks(masks);
  }

  showMasks(masks) {
    this.masks = masks;
    const shown = this.store.get("figures").filter((one) => masks.has(one.id) || hasOutline(one));
    Object.assign(this.part("canvas").dataset, { figures: shown.length, unsaved: this.unsaved.length });
    this.stage.redraw();
  }

  // Pointer events, in image coordinates ---------------------------------------------------------

  press(point, event) {
    if (this.store.get("playing")) {
      this.store.set({ playing: false });
      return false;
    }
    if (!this.ready) return false; // the picture on the stage is that of another frame
    if (this.store.get("tool") !== "smart") return true;
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
    const smart = this.store.get("tool") === "smart";
    if (smart && this.smartTool.prompts.crop && !this.corner) return;
    this.draft = { from: this.corner?.opposite ?? from, to };
    this.stage.redraw();
  }

  release(from, to, dragged, event) {
    const { draft } = this;
    this.draft = null;
    const tool = this.store.get("tool");
    if (tool !== "smart") this.drawn(tool, draft);
    else if (draft) this.smartTool.setBox(draft.from, draft.to);
    else if (!dragged) this.click(from, !event.shiftKey);
    else this.notices.say("A box is changed by its corners. Save or drop the object for a new one.");
    this.corner = null;
    this.stage.redraw();
  }

  /** A box was drawn with another tool than the Smart Tool; null: a click, no box. */
  drawn(tool, draft) {
    const region = draft && withBox(NOTHING, draft.from, draft.to, this.place)?.crop;
    if (tool === "region") this.store.set({ region: region ?? null });
    else if (region) this.saveBox(region);
    else this.notices.say("Drag from corner to corner to draw a box.");
    this.stage.redraw();
  }

  click(point, positive) {
    const refusal = this.smartTool.addPoint(point, positive);
    if (refusal) this.notices.say(refusal);
  }

  hover(point, event) {
    if (this.store.get("tool") !== "smart") {
      this.stage.canvas.style.cursor = "";
      return;
    }
    const { crop, points } = this.smartTool.prompts;
    const corner = cornerAt(crop, point, this.stage.scale);
    const removable = event.altKey && pointAt(points, point, this.stage.scale) >= 0;
    const cursor = removable ? "not-allowed" : CORNER_CURSORS[corner?.index];
    this.stage.canvas.style.cursor = cursor ?? "";
  }

  /** The right button was clicked. */
  menu(point, { clientX: x, clientY: y }) {
    if (!this.ready || this.store.get("playing")) return;
    const figure = figureAt(this.store.get("figures"), this.masks, point, this.stage.context);
    if (figure) this.openMenu(figure, { x, y });
  }

  cancel() {
    this.draft = null;
    this.stage.redraw();
  }

  // The object ------------------------------------------------------------------------------------

  edit(figure) {
    const known = this.masks.get(figure.id);
    if (!known || !this.ready) return;
    this.store.set({ tool: "smart" }); // what follows are clicks
    this.smartTool.edit(figure, known.mask);
    this.stage.canvas.focus({ preventScroll: true });
    this.speak("Editing: click to add or to take away.");
  }

  dropObject() {
    if (this.draft) this.cancel();
    else if (this.smartTool.active) {
      this.smartTool.drop();
      this.speak("Dropped. Undo brings it back.");
    } else if (this.store.get("region")) this.store.set({ region: null });
    else this.store.set({ joins: null, tool: "smart" });
  }

  /** What holds the last step that was done ("past") or undone ("future"), if any was. */
  latest(stack) {
    const at = ({ [stack]: steps }) => steps.at(-1)?.at ?? -1;
    const [smart, saved] = [at(this.smartTool), at(this.changes)];
    if (Math.max(smart, saved) < 0) return null;
    return smart > saved ? this.smartTool : this.changes;
  }

  /** Save a box, inclusive, as a figure. */
  saveBox([from, to]) {
    const { id: object_id = null, classId: class_id } =
      this.store.get("joins") ?? { classId: this.store.get("classId") };
    if (class_id === null) {
      this.notices.say("Add a class first: a figure needs one.");
      return;
    }
    const exterior = [[from.x, from.y], [to.x, to.y]];
    const geometry = { points: { exterior, interior: [] } };
    const box = { class_id, object_id, geometry_type: "rectangle", geometry };
    this.changes.make(this.place, "Box", { add: [box] });
    this.store.set({ joins: null });
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
    const { id: object_id = null, classId: class_id } =
      this.store.get("joins") ?? { classId: this.store.get("classId") };
    const object = await smartTool.finished();
    if (this.place.key !== place.key) return null; // the person went on: the object waits there
    const { state, prompts } = smartTool;
    if (!object) {
      if (state === "edit") this.notices.say("Nothing is changed yet: click first.");
      else if (state !== "error") this.notices.say("There is no mask to save yet.");
      return null;
    }
    const { id, objectId } = edited
      ? await this.change(edited, place, object)
      : await saveFigure(place, { class_id, object_id, ...object });
    smartTool.saved(place, prompts);
    if (edited) this.changes.forget(place);
    else this.changes.saved(place, id);
    this.store.set({ followed: objectId, joins: null });
    return place;
  }

  /** Save an edit. Tracking may have put another figure in the place of the one that was edited. */
  async change({ id, classId: class_id, objectId: object_id, description }, place, object) {
    const content = { class_id, object_id, description, ...object };
    try {
      return await changeFigure(id, content);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    const instead = (await getFigures(place))
      .find(({ objectId, nnUpdated }) => objectId !== null && objectId === object_id && nnUpdated);
    return instead ? changeFigure(instead.id, content) : saveFigure(place, content);
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
    this.notices.hint(state, this.store.get("tool"));
    this.showSteps();
    if (tool.latencyMs !== undefined) this.store.set({ latencyMs: tool.latencyMs });
    const { error } = tool;
    if (state === "error") this.notices.say(error.message, error.requestId, () => tool.request());
    else this.notices.say(null);
    if (state === "error") this.serve.refresh(); // perhaps the model was stopped elsewhere
    if (state === "mask") this.speak("The mask is there.");
    this.stage.redraw();
  }

  /** Show what can be undone and redone. */
  showSteps() {
    if (this.smartTool) this.showTool(this.smartTool, this.store.get("joins"), this.changes);
  }

  draw(context, scale) {
    if (this.stage.held && !this.ready) return; // masks of one frame on the picture of another
    const figures = [...this.store.get("figures"), ...this.unsaved];
    drawFigures(context, scale, this.store, figures, this.masks, this.smartTool);
    const smart = this.store.get("tool") === "smart";
    drawPrompts(context, this.smartTool.prompts, smart ? this.draft : null, scale);
    if (smart) return;
    const region = { crop: this.store.get("tool") === "region" ? this.store.get("region") : null, points: [] };
    drawPrompts(context, region, this.draft, scale);
  }
}
