// Changes of saved figures: made in one step, undone and redone in one, never lost halfway.

import { getClasses, makeChange, redoChange, undoChange } from "./api.js";
import { isLocked } from "./keeping.js";
import { pathOf } from "./places.js";
import { fromEpoch, toEpoch } from "./resuming.js";
import { newRequestId } from "./smart_tool.js";
import { reload } from "./views/figures.js";

/**
 * @typedef {{what: string, key: string, figureId: number|null, at: number}} Step - the change `key`;
 *   with a figure: the change that takes away what was saved by itself, so that to undo the step is
 *   to do the change. `at` tells when it was done (or undone), to be compared with steps of the
 *   Smart Tool
 * @typedef {{remove?: number[], add?: object[], classify?: {id, class_id}[],
 *   convert?: {id, to}[], reshape?: object[], describe?: {id, description}[], order?: number[]}} Wish -
 *   as `NewChange` of the workspace; `add` without `on`
 */

/** What could not be saved, in the form of saved figures, so that it can be shown. */
export const unsavedFigures = (unsaved) => unsaved.flatMap(({ change: { key, add } }) =>
  add.map(({ class_id: classId, geometry_type: geometryType, geometry }, index) =>
    ({ id: `${key}-${index}`, number: index, classId, geometryType, geometry })));

const EVERYWHERE = Object.freeze({ key: "everywhere" }); // where changes of classes are done
const MOST_STEPS = 100; // of a place, and so many places are kept for a reload
const MOST_PLACES = 50;
const ALTERING = ["convert", "reshape", "describe"];

export class Changes {
  /**
   * @param {{get, set}} store - its `unsaved` holds what the open place could not save
   * @param {(words: string, requestId?: string) => void} say - tells what went wrong
   * @param {() => void} changed - called when there is something else to undo or redo
   */
  constructor(store, say, speak, changed) {
    Object.assign(this, { store, say, speak, changed, steps: new Map(), kept: new Map() });
    this.makings = []; // changes that are on their way to be saved
    this.running = Promise.resolve();
    store.watch(["place"], ({ place }) => {
      store.set({ unsaved: this.kept.get(place?.key) ?? [] });
      changed();
    });
  }

  /** What was done and what was undone on the open place, the newest last. */
  get past() { return this.all("past"); }

  get future() { return this.all("future"); }

  /** Steps of the open place, and those of classes, which are the same everywhere. */
  all(stack) {
    const here = this.stepsOf(this.store.get("place"))[stack];
    return [...here, ...this.stepsOf(EVERYWHERE)[stack]].sort((one, other) => one.at - other.at);
  }

  stepsOf(place) {
    if (!place) return { past: [], future: [] };
    if (!this.steps.has(place.key)) this.steps.set(place.key, { past: [], future: [] });
    return this.steps.get(place.key);
  }

  /** The newest change of the open place that is being saved and is wanted still, if any. */
  get making() {
    const key = this.store.get("place")?.key;
    return this.makings.findLast(({ place, takenBack }) => place.key === key && !takenBack);
  }

  /** Whether figures wait on any place to be saved. */
  get unsaved() {
    return this.kept.size > 0;
  }

  /**
   * Change figures of a place. What brings figures and cannot be saved is kept, and shown as
   * unsaved, until it is saved or dropped.
   * @param {string} what - in words, for example "Box"
   * @param {(ids: number[]) => void} brought - told the ids of what came, before it is shown
   * @returns {Promise<Step|null>} what can be undone; null: it is not saved
   */
  make(place, what, wish, brought = () => {}) {
    if (this.touchesLocked(place, wish)) {
      this.say(`${what}: not done. A figure is locked: unlock it first.`);
      return Promise.resolve(null);
    }
    const on = pathOf(place);
    const change = {
      key: newRequestId(),
      remove: wish.remove ?? [],
      add: (wish.add ?? []).map((figure) => ({ ...figure, on })),
      classify: wish.classify ?? [],
      ...Object.fromEntries(["order", ...ALTERING].filter((name) => wish[name])
        .map((name) => [name, wish[name]])),
    };
    const entry = { place, what, change, brought, at: performance.now() };
    this.makings.push(entry);
    this.changed();
    return this.inTurn(async () => {
      entry.step = await this.send(entry);
      this.makings.splice(this.makings.indexOf(entry), 1);
      this.changed();
      return entry.step;
    });
  }

  touchesLocked(place, wish) {
    const [figures, locked, open] = ["figures", "locked", "place"].map((name) => this.store.get(name));
    if (place.key !== open?.key) return false; // what runs on was asked for before
    const altered = ["classify", ...ALTERING].flatMap((name) => (wish[name] ?? []).map(({ id }) => id));
    const ids = new Set([...wish.remove ?? [], ...altered]);
    return figures.some((figure) => ids.has(figure.id) && isLocked({ locked }, figure));
  }

  /**
   * Change classes, as a step that can be undone on every place.
   * @param {(key: string) => Promise} send - does it under this name
   * @returns {Promise} what `send` gives; it throws why it fails
   */
  ofClasses(what, send) {
    return this.inTurn(async () => {
      const key = newRequestId();
      const answer = await send(key);
      this.done(EVERYWHERE, what, key);
      await this.refreshClasses();
      return answer;
    });
  }

  /** Figures came to many places, in a change of this name: that can be undone on all of them. */
  async happened(what, key) {
    this.done(EVERYWHERE, what, key);
    await this.refreshClasses();
  }

  async refreshClasses() {
    await this.listClasses();
    if (this.store.get("place")) await this.refresh(this.store.get("place"));
  }

  async listClasses() {
    const classes = await getClasses();
    if (JSON.stringify(classes) === JSON.stringify(this.store.get("classes"))) return;
    const chosen = this.store.get("classId");
    const classId = classes.some(({ id }) => id === chosen) ? chosen : classes[0]?.id ?? null;
    this.store.set({ classes, classId });
  }

  /** Show what others have changed. */
  async follow() {
    await this.listClasses();
    if (this.store.get("place")) await reload(this.store);
  }

  /** Send what was kept on the open place once more. */
  saveAgain() {
    const place = this.store.get("place");
    return this.inTurn(async () => {
      for (const entry of this.kept.get(place.key) ?? []) {
        this.keep(place, (kept) => kept !== entry);
        if (!(await this.send(entry))) return;
      }
    });
  }

  /** Give up what was kept on the open place. */
  drop() {
    this.keep(this.store.get("place"), () => false);
    this.speak("Dropped.");
  }

  async send(entry) {
    const { place, what, change, brought } = entry;
    try {
      const { added, left_out: left } = await makeChange(change);
      brought(added);
      if (left) this.say(`${what}: ${leftWords(left)}`);
    } catch (error) {
      if (change.add.length) this.keep(place, () => true, { ...entry, problem: error.message });
      else this.say(`${what}: not done. ${error.message}`, error.requestId);
      return null;
    }
    const step = this.done(place, what, change.key);
    await this.refresh(place);
    return step;
  }

  /** Remember a step of a place that can be undone. */
  done(place, what, key, figureId = null) {
    const steps = this.stepsOf(place);
    const step = { what, key, figureId, at: performance.now() };
    steps.past.push(step);
    steps.future = [];
    this.changed();
    return step;
  }

  /** A figure was saved by itself: to undo that is to take it away. */
  saved(place, figureId) {
    this.done(place, "Save", newRequestId(), figureId);
  }

  /** What can be undone and redone, as JSON has it; `restore` takes it up after a reload. */
  get history() {
    const dated = (all, date) => all.slice(-MOST_STEPS).map((step) => ({ ...step, at: date(step.at) }));
    return [...this.steps].slice(-MOST_PLACES).map(([key, { past, future }]) =>
      [key, { past: dated(past, toEpoch), future: dated(future, toEpoch) }]);
  }

  restore(kept = []) {
    const dated = (all) => all.map((step) => ({ ...step, at: fromEpoch(step.at) }));
    for (const [key, { past, future }] of kept) {
      this.steps.set(key, { past: dated(past), future: dated(future) });
    }
  }

  /** A figure was changed in a way that is not undone: what came before it is not, either. */
  forget(place) {
    this.steps.delete(place.key);
    this.changed();
  }

  /** Undo the last step of the open place, also one that is being saved; why it fails is said. */
  undo() {
    const { making } = this;
    if (!making) return this.last("undo");
    making.takenBack = true;
    this.changed();
    return this.inTurn(async () => {
      const { place, what, change: { key }, step } = making;
      if (!step) this.keep(place, ({ change }) => change.key !== key);
      const problem = step && await this.walk(place, step, "undo");
      if (problem) this.say(`${what}: not undone. ${problem}`);
    });
  }

  /** Redo the last step of the open place that was undone. */
  redo() { return this.last("redo"); }

  last(way) {
    return this.inTurn(async () => {
      const stack = way === "undo" ? "past" : "future";
      const step = this.all(stack).at(-1);
      const general = this.stepsOf(EVERYWHERE)[stack].includes(step);
      const place = general ? EVERYWHERE : this.store.get("place");
      const problem = step && await this.walk(place, step, way);
      if (problem) this.say(`${step.what}: not ${way}ne. ${problem}`);
    });
  }

  /** Undo a step that need not be the last. @returns {Promise<string|null>} why it fails */
  undoStep(place, step) {
    return this.inTurn(() =>
      (this.stepsOf(place).past.includes(step) ? this.walk(place, step, "undo") : null));
  }

  async walk(place, step, way) {
    const { past, future } = this.stepsOf(place);
    const [from, to] = way === "undo" ? [past, future] : [future, past];
    let problem = null;
    try {
      await carryOut(step, way);
    } catch (error) {
      problem = error.message;
      if (error.status !== 404) return problem; // else it cannot be done any more: away with it
    }
    from.splice(from.indexOf(step), 1);
    if (!problem) to.push(Object.assign(step, { at: performance.now() }));
    this.changed();
    this.speak(problem ?? `${way === "undo" ? "Undone" : "Done again"}: ${step.what}.`);
    await this.refresh(place);
    return problem;
  }

  keep(place, stays, more = null) {
    const kept = (this.kept.get(place.key) ?? []).filter(stays);
    if (more) kept.push(more);
    if (kept.length) this.kept.set(place.key, kept);
    else this.kept.delete(place.key);
    if (this.store.get("place")?.key === place.key) this.store.set({ unsaved: kept });
  }

  async refresh(place) {
    if (![this.store.get("place")?.key, EVERYWHERE.key].includes(place.key)) return;
    try {
      if (place === EVERYWHERE) await this.refreshClasses();
      else await reload(this.store);
    } catch (error) {
      this.say(`Saved, but the list is not up to date: ${error.message}`, error.requestId);
    }
  }

  /** One after the other, in the order in which they were asked for. */
  inTurn(work) {
    const result = this.running.then(work);
    this.running = result.catch(() => {});
    return result;
  }
}

async function carryOut({ key, figureId }, way) {
  if (figureId === null) await (way === "undo" ? undoChange : redoChange)(key);
  else if (way === "redo") await undoChange(key);
  else {
    // The first time this makes the change; later it finds it made, and only does it again.
    await makeChange({ key, remove: [figureId], add: [], classify: [] });
    await redoChange(key);
  }
}

const leftWords = (left) =>
  `an object has one figure on a picture, so ${left === 1 ? "a smaller part" : `${left} smaller parts`} `
  + "of the mask went. Undo brings the mask back.";
