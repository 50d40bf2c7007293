// The picture view: draw a box, click, see the mask, keep it; or mend a figure.

import { Aim } from "../aim.js";
import { getPicture } from "../api.js";
import { unsavedFigures } from "../changes.js";
import { isLocked, isVeiled } from "../keeping.js";
import { decodeMasks } from "../mask.js";
import { keyOf, openNext, openPlace } from "../places.js";
import { Preview } from "../preview.js";
import { Reshaping } from "../reshaping.js";
import { Saving } from "../saving.js";
import { figureAt, hasOutline } from "../shapes.js";
import { SmartTool } from "../smart_tool.js";
import { reload, reloadFigures } from "./figures.js";
import { bindKeys } from "./keys.js";
import { drawFigures } from "./layers.js";
import { toggle, toggleColoring } from "./modes.js";
import { Pointer } from "./pointer.js";
import { mountToolbar, mountZoom } from "./toolbars.js";

/**
 * @param {{changes: Changes, openMenu: Function}} tools - among others
 * @returns {ImageView} whose `edit(figure)` begins to change a figure of the open place
 */
export function mountImage(root, stage, store, app, tools) {
  const view = new ImageView(root, stage, store, app, tools);
  store.watch(["place"], ({ place }) => view.open(place));
  store.watch(["figures", "unsaved"], () => view.decodeFigures());
  store.watch(["serve", "serveError", "served", "place"], (state) =>
    view.notices.showMissing(state, tools.serve));
  store.watch(["serve", "datasets", "place"], (state) =>
    view.notices.showUnfit(state, tools.serve.open));
  store.watch(["modelKey", "deploys"], ({ modelKey }) => {
    if (modelKey) view.smartTool.again();
  });
  store.watch(["serveError"], ({ serve }) => {
    // The app was away, and is back.
    if (serve?.state === "ready" && view.smartTool.state === "error") view.smartTool.again();
  });
  store.watch(["tool", "preview"], () => {
    stage.drop(); // what another tool began
    view.aim.cancel();
    view.preview.stop();
  });
  store.watch(["joins", "tool"], () => view.refresh());
  store.watch(["selected", "classId", "classes", "region", "coloring", "hidden", "opacity"],
    () => stage.redraw());
  store.watch(["veiled"], () => view.showMasks(view.masks));
  return view;
}

class ImageView {
  constructor(root, stage, store, app, tools) {
    Object.assign(this, { root, stage, store, app, ...tools });
    const { notices, speak, changes } = tools;
    this.place = null;
    this.ready = false; // whether the picture of the place is there
    this.masks = new Map(); // figure id -> {data, mask}
    this.unsaved = []; // figures that could not be saved
    this.part = (id) => root.querySelector(`#${id}`);
    this.aim = new Aim(stage, {
      speak: (words) => this.speak(words),
      changed: () => this.refresh(),
      isBusy: () => this.smartTool.active || this.reshaping.active,
    });
    this.bindActions();
    this.smartTool = new SmartTool((context, signal) => app.segment(context, signal), () => this.refresh());
    const say = (...what) => notices.say(...what);
    this.preview = new Preview((context, signal) => app.segment(context, signal), () => this.showPreview());
    this.reshaping = new Reshaping(store, changes);
    this.saving = new Saving(store, this.smartTool, { changes, say, speak });
    this.pointer = new Pointer(stage, store, this.smartTool, {
      say,
      isReady: () => this.ready,
      saveBox: (box) => this.saving.box(box),
      menu: (point, event) => this.menu(point, event),
      preview: this.preview,
      reshaping: this.reshaping,
    });
    stage.tool = this.pointer;
    stage.layers = [(context, scale) => this.draw(context, scale)];
  }

  bindActions() {
    const { stage, store } = this;
    const object = {
      finish: () => (this.reshaping.active ? this.reshaping.end() : this.saving.object()),
      drop: () => this.dropObject(),
      undo: () => this.latest("past")?.undo(),
      redo: () => this.latest("future")?.redo(),
    };
    bindKeys({
      ...object,
      finish: () => (this.smartTool.active || this.reshaping.active ? object.finish() : this.play()),
      play: () => this.play(),
      track: () => this.track(),
      chooseTool: (tool) => store.set({ tool }),
      toggleColoring: () => toggleColoring(store),
      toggle: (name) => toggle(store, name),
      fit: () => stage.fit(),
      zoom: (way) => stage.zoom(1.4 ** way, ...this.aim.spot),
      step: (count) => this.step(count),
      goOn: (way) => openNext(store, way),
      help: () => this.help(),
      done: () => this.done(),
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
    // The cross-hair of a volume went elsewhere on this very slice: the picture stays.
    if (place?.medium.kind === "volume" && before?.picture === place.picture) return;
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
    this.stage.drop(); // what is being drawn belongs to the picture that was there
    this.aim.cancel();
    this.ready = false;
    this.preview.stop();
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
    this.restoreView(place);
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
    if (this.ready) this.smartTool.resumeEdit(this.store.get("figures"), masks);
    const veiled = this.store.get("veiled");
    const shown = this.store.get("figures")
      .filter((one) => (masks.has(one.id) || hasOutline(one)) && !isVeiled({ veiled }, one));
    Object.assign(this.part("canvas").dataset, { figures: shown.length, unsaved: this.unsaved.length });
    this.stage.redraw();
  }

  /** The right button was clicked. */
  menu(point, { clientX: x, clientY: y }) {
    if (!this.ready || this.store.get("playing")) return;
    const [hidden, all, veiled, locked] =
      ["hidden", "figures", "veiled", "locked"].map((name) => this.store.get(name));
    const out = (one) => isVeiled({ veiled }, one) || isLocked({ locked }, one);
    const figures = hidden ? [] : all.filter((one) => !out(one));
    // Over the object in the making, the class that is chosen is that object's.
    const making = !this.smartTool.edited && this.smartTool.mask?.covers(point.x, point.y);
    const figure = making ? null : figureAt(figures, this.masks, point, this.stage.context);
    this.openMenu(figure, { x, y });
  }

  // The object ------------------------------------------------------------------------------------

  edit(figure) {
    if (figure.geometryType === "rectangle" && this.ready) {
      this.reshaping.begin(figure);
      this.stage.canvas.focus({ preventScroll: true });
      this.speak("Drag the edge or a corner of the box.");
      return;
    }
    const known = this.masks.get(figure.id);
    if (!known || !this.ready) return;
    this.store.set({ tool: "smart" }); // what follows are clicks
    this.smartTool.edit(figure, known.mask);
    this.stage.canvas.focus({ preventScroll: true });
    this.speak("Editing: click to add or to take away.");
  }

  /** Show a figure in the middle, at a size that lets its surroundings be seen. */
  goTo({ geometryMeta: { bbox: [top, left, bottom, right] } }) {
    if (!this.ready) return;
    const { stage } = this;
    const { width, height } = stage.room();
    const wanted = Math.min(width / (right - left + 1), height / (bottom - top + 1)) / 2;
    stage.zoom(Math.max(stage.fitScale, Math.min(wanted, 8)) / stage.scale);
    stage.offset = {
      x: stage.canvas.clientWidth / 2 - ((left + right + 1) / 2) * stage.scale,
      y: stage.canvas.clientHeight / 2 - ((top + bottom + 1) / 2) * stage.scale,
    };
    stage.redraw();
  }

  dropObject() {
    if (this.stage.drop()) return;
    if (this.reshaping.active) this.reshaping.end();
    else if (this.smartTool.active) {
      this.smartTool.drop();
      this.speak("Dropped. Undo brings it back.");
    } else if (this.store.get("tool") === "region" && this.store.get("region")) {
      this.store.set({ region: null });
    } else this.store.set({ joins: null, tool: "smart" });
  }

  /** What holds the last step that was done ("past") or undone ("future"), if any was. */
  latest(stack) {
    const never = -Infinity;
    const at = ({ [stack]: steps }) => steps.at(-1)?.at ?? never;
    const made = stack === "past" ? this.changes.making?.at ?? never : never;
    const [smart, saved] = [at(this.smartTool), Math.max(at(this.changes), made)];
    if (Math.max(smart, saved) === never) return null;
    return smart > saved ? this.smartTool : this.changes;
  }

  // A reload ----------------------------------------------------------------------------------------

  /** What is begun, and how the picture is looked at, as JSON has it. */
  get kept() {
    const { stage, place } = this;
    const view = place && stage.picture && !stage.fitted
      ? { key: keyOf(place.medium), scale: stage.scale, middle: stage.middle }
      : null;
    return { begun: this.smartTool.kept, view };
  }

  restore({ begun, view }) {
    this.smartTool.restore(begun);
    this.view = view;
  }

  /** The first picture is looked at as it was before the page was loaded anew. */
  restoreView({ medium }) {
    const { view } = this;
    this.view = null;
    if (view?.key === keyOf(medium)) this.stage.look(view);
  }

  // What is shown ---------------------------------------------------------------------------------

  refresh() {
    const tool = this.smartTool;
    if (!tool) return; // the tool's first breath, inside its constructor
    const state = this.place ? tool.state : "empty";
    this.root.dataset.state = state;
    this.notices.hint(state, this.store.get("tool"), this.aim.active);
    this.showSteps();
    if (tool.latencyMs !== undefined) this.store.set({ latencyMs: tool.latencyMs });
    const { error } = tool;
    if (state === "error") this.notices.say(error.message, error.requestId, () => tool.request());
    else this.notices.say(null);
    if (state === "error") this.serve.refresh(); // perhaps the model was stopped elsewhere
    if (state === "mask") this.speak("The mask is there.");
    this.stage.redraw();
    this.store.set({ begun: this.smartTool.work.prompts });
  }

  /** Show what can be undone and redone. */
  showSteps() {
    if (!this.smartTool) return;
    this.showTool(this.smartTool, this.store.get("joins"), this.changes, this.reshaping);
  }

  showPreview() {
    this.part("canvas").dataset.preview = this.preview.mask ? "yes" : "no";
    this.stage.redraw();
  }

  draw(context, scale) {
    if (this.stage.held && !this.ready) return; // masks of one frame on the picture of another
    const figures = [...this.store.get("figures"), ...this.unsaved];
    drawFigures(context, scale, this.store, figures, this.masks, this.smartTool, this.preview);
    this.pointer.draw(context, scale);
    this.aim.draw(context, scale);
  }
}
