// The Batched Smart Tool: a grid of the objects of one class, over the images of a dataset.

import { getClasses, getClassCounts } from "../api.js";
import { Batch } from "../batch.js";
import { element } from "../dom.js";
import { withoutPoint } from "../prompting.js";
import { count } from "../words.js";
import { mountBars } from "./batch_bars.js";
import { CellView } from "./batch_cell.js";
import { reload } from "./figures.js";

const PER_PAGE = 48;

/**
 * @param {HTMLDialogElement} root
 * @param {Element} opener - the button that opens the grid
 * @param {{speak, serve}} tools - say something to people who cannot see; the Serve panel
 * @returns {{unsaved: boolean}} whether masks or prompts are not saved
 */
export function mountBatch(root, opener, store, app, tools) {
  return new BatchView(root, opener, store, app, tools);
}

class BatchView {
  constructor(root, opener, store, app, { speak, serve }) {
    Object.assign(this, { root, store, app, speak, serve });
    this.batches = new Map(); // "dataset class" -> Batch: work stays when another is looked at
    this.batch = null;
    this.page = 0;
    this.views = []; // of the cells of the page
    this.grid = element("ul.cells", { "aria-label": "Objects", tabIndex: -1 });
    this.bars = mountBars(root, this.grid, {
      choose: (datasetId, classId) => this.choose(datasetId, classId),
      segment: () => this.batch.segment(this.batch.cells.filter(({ excluded }) => !excluded)),
      update: () => this.batch.segment(this.batch.outdated),
      cancel: () => this.batch.cancel(),
      undo: () => this.step("undo"),
      redo: () => this.step("redo"),
      save: () => this.save(),
      close: () => root.close(),
      turn: (by) => this.turn(this.page + by),
      serve: () => this.serve.open(),
      resize: () => this.views.forEach((view) => view.shown && view.redraw()),
    });
    this.sight = new IntersectionObserver((entries) => this.see(entries), {
      root: this.grid, rootMargin: "200px",
    });
    opener.addEventListener("click", () => this.open());
    root.addEventListener("keydown", (event) => this.key(event));
    this.grid.addEventListener("focusin", ({ target }) => this.reach(target.closest(".cell")));
    store.watch(["modelKey", "deploys"], () => {
      for (const batch of this.batches.values()) batch.forgetAnswers();
    });
  }

  get unsaved() {
    return [...this.batches.values()].some(({ unsaved }) => unsaved);
  }

  // What is open ----------------------------------------------------------------------------------

  async open() {
    const { store } = this;
    this.root.showModal();
    const datasets = store.get("datasets").filter(({ images }) => images.length);
    const medium = store.get("medium");
    const dataset = datasets.find(({ id }) => id === (this.batch?.dataset.id ?? medium?.dataset_id));
    await this.choose((dataset ?? datasets[0])?.id, this.batch?.classId);
  }

  /** Look at a class of a dataset; without a class, at the one with most figures there. */
  async choose(datasetId, classId) {
    const datasets = this.store.get("datasets").filter(({ images }) => images.length);
    const dataset = datasets.find(({ id }) => id === datasetId);
    this.wanted = [datasetId, classId].join(" ");
    const asked = this.wanted;
    try {
      const counts = dataset ? await getClassCounts(dataset.id) : {};
      if (asked !== this.wanted) return;
      const classes = this.store.get("classes").filter(({ id }) => counts[id]);
      const own = classes.find(({ id }) => id === (classId ?? this.store.get("classId")));
      const most = classes.toSorted((one, other) => counts[other.id] - counts[one.id])[0];
      const chosen = own ?? most;
      this.bars.offer({ datasets, dataset, classes, chosen, counts });
      if (chosen) await this.show(dataset, chosen.id);
      else this.nothing(dataset);
    } catch (error) {
      if (asked !== this.wanted) return;
      const again = () => this.choose(datasetId, classId);
      this.refresh();
      this.bars.say({ words: error.message, requestId: error.requestId, again });
    }
  }

  nothing(dataset) {
    this.batch = null;
    this.fill();
    const where = dataset ? `on the images of ${dataset.name}` : "because there are no images";
    const words = `There are no boxes or masks ${where}. Draw or import boxes first.`;
    this.grid.replaceChildren(element("li.none", {}, words));
  }

  async show(dataset, classId) {
    const key = `${dataset.id} ${classId}`;
    const changed = () => { if (this.batch === this.batches.get(key)) this.refresh(); };
    if (!this.batches.has(key)) {
      this.batches.set(key, new Batch(dataset, classId, this.app, changed));
    }
    if (this.batch !== this.batches.get(key)) this.page = 0;
    this.batch = this.batches.get(key);
    this.batch.dataset = dataset;
    if (!this.batch.busy) await this.batch.load();
    this.refresh();
    this.speak(`${count(this.batch.cells.length, "object")} in the grid.`);
  }

  // The page --------------------------------------------------------------------------------------

  get pages() {
    return Math.max(Math.ceil((this.batch?.cells.length ?? 0) / PER_PAGE), 1);
  }

  get cellsOfPage() {
    const from = this.page * PER_PAGE;
    return this.batch?.cells.slice(from, from + PER_PAGE) ?? [];
  }

  turn(page) {
    this.page = Math.min(Math.max(page, 0), this.pages - 1);
    this.fill();
    this.grid.scrollTop = 0;
  }

  /** Show the cells of the page. */
  fill() {
    this.sight.disconnect();
    for (const view of this.views) view.close();
    this.views = this.cellsOfPage.map((cell) => new CellView(cell, this.tools));
    this.grid.replaceChildren(...this.views.map(({ root }) => root));
    this.reach(this.views[0]?.root);
    for (const { root } of this.views) this.sight.observe(root);
    this.refresh();
  }

  get tools() {
    const { batch } = this;
    return {
      prompt: (cell, prompts) => batch.prompt(cell, prompts),
      exclude: (cell) => batch.exclude([cell], !cell.excluded),
      retry: (cell) => batch.retry(cell),
      refuse: (words) => batch.say(words),
      changed: () => batch.changed(),
      color: () => this.store.get("classes").find(({ id }) => id === batch.classId)?.color ?? "#888888",
    };
  }

  see(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.views.find(({ root }) => root === target)?.show();
    }
  }

  /** Show what has changed. */
  refresh() {
    const { batch } = this;
    this.page = Math.min(this.page, this.pages - 1);
    const here = this.cellsOfPage;
    const same = here.length === this.views.length
      && this.views.every(({ cell }, index) => cell === here[index]);
    if (!same && batch) {
      this.fill();
      return;
    }
    for (const view of this.views) view.refresh();
    const first = this.page * PER_PAGE;
    this.bars.show(batch, { page: this.page, pages: this.pages, first, last: first + here.length });
    this.keepFocus();
    if (batch?.said && batch.said !== this.spoken) this.speak(batch.said.words);
    this.spoken = batch?.said;
  }

  // What a person does ----------------------------------------------------------------------------

  async save() {
    await this.batch.save();
    await this.renew();
  }

  async step(way) {
    await this.batch?.[way]();
    await this.renew();
  }

  /** What is saved is shown on the stage too; and a class may hold other shapes now. */
  async renew() {
    const { store } = this;
    try {
      store.set({ classes: await getClasses() });
      if (store.get("place")) await reload(store);
    } catch {
      // The stage says so itself as soon as it is looked at again.
    }
  }

  /** A button that was pressed may be disabled now, a cell gone: keys would go nowhere. */
  keepFocus() {
    const { activeElement } = document;
    if (!this.root.open || (this.root.contains(activeElement) && !activeElement.disabled)) return;
    const canvas = this.views.map((view) => view.canvas).find(({ tabIndex }) => tabIndex === 0);
    (canvas ?? this.grid).focus({ preventScroll: true });
  }

  reach(root) {
    if (!root) return;
    for (const view of this.views) view.reach(view.root === root);
  }

  key(event) {
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      const way = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" && "undo";
      if (!way) return;
      event.preventDefault();
      this.step(way);
      return;
    }
    // None in the bars: their keys are their own.
    const at = this.views.findIndex(({ root }) => root.contains(event.target));
    if (at < 0 || event.altKey) return;
    const { cell } = this.views[at];
    const { points } = cell.prompts;
    const actions = {
      x: () => this.tools.exclude(cell),
      r: () => cell.state === "failed" && this.tools.retry(cell),
      backspace: () => points.length
        && this.tools.prompt(cell, withoutPoint(cell.prompts, points.length - 1)),
      arrowleft: () => this.focus(at - 1),
      arrowright: () => this.focus(at + 1),
      arrowup: () => this.focus(at - this.columns),
      arrowdown: () => this.focus(at + this.columns),
    };
    if (!actions[key]) return;
    event.preventDefault();
    actions[key]();
  }

  get columns() {
    return getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
  }

  focus(index) {
    this.views[index]?.canvas.focus();
  }
}
