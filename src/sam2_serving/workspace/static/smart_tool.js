// The Smart Tool: one object in the making (or one figure in the mending), from prompts to mask.

import { decodeMask } from "./mask.js";
import {
  keptPrompts, NOTHING, wirePrompts, withBox, withMiddle, withMoved, withoutPoint, withPoint,
} from "./prompting.js";
import { fromEpoch, revived, toEpoch } from "./resuming.js";

const MOST_STEPS = 100; // kept for a reload
const SETTLING_MS = 200; // a window that is being dragged asks only where it rests
const FRESH = Object.freeze({ edited: null, prompts: NOTHING, past: [], future: [] });

/**
 * Holds a box and clicks, asks for the mask after each change, keeps only the newest answer.
 *
 * States: "idle" (no object), "edit" (a figure as it was saved), "waiting" (a mask is on its way),
 * "mask", "none" (the model finds nothing there), "error".
 */
export class SmartTool {
  /**
   * @param {(context: object, signal: AbortSignal) => Promise<object>} ask - sends a Smart Tool
   *   context to the app
   * @param {(tool: SmartTool) => void} changed - called after every change
   */
  constructor(ask, changed) {
    Object.assign(this, { ask, changed });
    this.left = new Map(); // place key -> the work that was left there
    this.edits = new Map(); // place key -> the edit that a reload interrupted
    this.begin(null);
  }

  /** Work on another place (places.js), or on none; what was begun on a place waits there. */
  begin(place) {
    if (this.place && (this.prompted || this.past.length)) {
      const { edited, prompts, past, future } = this;
      this.left.set(this.place.key, { edited, prompts, past, future });
    }
    this.place = place;
    const work = this.left.get(place?.key) ?? FRESH;
    this.left.delete(place?.key);
    this.outdate();
    Object.assign(this, { ...work, past: [...work.past], future: [...work.future] });
    this.rest();
    if (this.prompted) this.request();
  }

  /**
   * What is begun, on this place and on others, as JSON has it.
   * @returns {[string, {prompts, past, future, figureId: number|null}][]} by the places' keys
   */
  get kept() {
    const { place, edited, prompts, past, future } = this;
    const works = new Map(this.left);
    if (place && (this.prompted || edited || past.length)) {
      works.set(place.key, { edited, prompts, past, future });
    }
    const steps = (all) => (all.some((one) => one.edited) ? [] : all)
      .slice(-MOST_STEPS).map(({ prompts, at }) => ({ prompts, at: toEpoch(at) }));
    return [...works].map(([key, work]) => [key, {
      prompts: work.prompts, past: steps(work.past), future: steps(work.future),
      figureId: work.edited?.figure.id ?? null,
    }]);
  }

  /** Take up what was kept before a reload. */
  restore(kept = []) {
    const steps = (all) => all.map(({ prompts, at }) =>
      ({ edited: null, prompts: revived(prompts), at: fromEpoch(at) }));
    for (const [key, { prompts, past, future, figureId }] of kept) {
      if (figureId !== null) this.edits.set(key, { figureId, prompts: revived(prompts) });
      else this.left.set(key, { edited: null, prompts: revived(prompts), past: steps(past), future: steps(future) });
    }
  }

  /** Go on with the edit that a reload interrupted, now that the figures of the place are here. */
  resumeEdit(figures, masks) {
    const work = this.edits.get(this.place?.key);
    const figure = figures.find(({ id }) => id === work?.figureId);
    if (!figure || !masks.has(figure.id)) return;
    this.edits.delete(this.place.key);
    this.edit(figure, masks.get(figure.id).mask);
    if (work.prompts !== NOTHING) this.change(work.prompts);
  }

  /**
   * Change a saved figure by further prompts.
   * @param {object} figure - with a bitmap
   * @param {Mask} mask - the same, decoded
   */
  edit(figure, mask) {
    const { origin, data } = figure.geometry.bitmap;
    const sent = { data, origin: { x: origin[0], y: origin[1] } };
    // `told`: the app has answered once since it was given the figure's mask.
    if (this.active) this.past.push(this.work);
    this.future = [];
    this.take({ edited: { figure, mask, sent, told: false }, prompts: NOTHING });
  }

  /** These prompts of a place are saved: they are no work any more, unless others came since. */
  saved(place, prompts) {
    if (this.left.get(place.key)?.prompts === prompts) this.left.delete(place.key);
    if (this.place?.key !== place.key || this.prompts !== prompts) return;
    Object.assign(this, { past: [], future: [] });
    this.take(FRESH);
  }

  /** What undo brings back, and when that became the past (or redo, the future). */
  get work() {
    return { edited: this.edited, prompts: this.prompts, at: performance.now() };
  }

  take({ edited, prompts }) {
    Object.assign(this, { edited, prompts });
    this.request();
  }

  /** Nothing is asked for: no object, or the figure as it was saved. */
  rest() {
    this.settle(this.edited ? "edit" : "idle", this.edited?.mask ?? null);
  }

  /** The same place looks different now (another window): ask again for the same prompts. */
  move(place) {
    this.place = place;
    if (this.prompted) this.request(SETTLING_MS);
  }

  /** Another model answers now: ask it the same. */
  again() {
    if (this.prompted) this.request();
  }

  /** Whatever is on its way now is stale: stop it, and ignore it should it arrive all the same. */
  outdate() {
    this.newest = (this.newest ?? 0) + 1;
    this.flight?.abort();
    this.flight = new AbortController();
  }

  /** Whether there are a box or clicks. */
  get prompted() {
    return this.prompts !== NOTHING;
  }

  /** Whether a box or clicks are not saved, here or on a place that was left. */
  get unsaved() {
    return this.prompted || [...this.left.values()].some(({ prompts }) => prompts !== NOTHING);
  }

  /** Whether there is something to drop. */
  get active() {
    return this.prompted || this.edited !== null;
  }

  /**
   * Set the box: two corners in image coordinates, any order.
   * @param {boolean} pointed - put a positive click into the middle of a new one
   */
  setBox(from, to, pointed = false) {
    const prompts = withBox(this.prompts, from, to, this.place);
    if (!prompts) return;
    // To an edit a box is no more than a limit: what is meant is said by clicks.
    this.change(pointed && !this.edited ? withMiddle(prompts, this.prompts) : prompts);
  }

  /**
   * Add a click.
   * @returns {string|null} why it cannot be added, in words
   */
  addPoint(point, positive) {
    const { prompts, refusal } = withPoint(this.prompts, point, positive, this.place);
    if (refusal) return refusal;
    if (!positive && !this.active) return "Start with a box or with a click on the object.";
    this.change(prompts);
    return null;
  }

  movePoint(index, to) {
    this.change(withMoved(this.prompts, index, to, this.place));
  }

  removePoint(index) {
    this.change(withoutPoint(this.prompts, index));
  }

  undo() {
    if (!this.past.length) return;
    this.future.push(this.work);
    this.take(this.past.pop());
  }

  redo() {
    if (!this.future.length) return;
    this.past.push(this.work);
    this.take(this.future.pop());
  }

  /** Drop the object, or leave the figure as it was; undo brings it back. */
  drop() {
    if (this.active) this.change(NOTHING, null);
  }

  change(prompts, edited = this.edited) {
    this.past.push(this.work);
    this.future = [];
    this.take({ edited, prompts });
  }

  /** Ask for the mask of the present prompts, unless others follow within `delayMs`. */
  request(delayMs = 0) {
    this.outdate();
    if (!this.prompted) {
      this.rest();
      return;
    }
    const { crop, points } = this.prompts;
    if (this.edited && !points.length) {
      this.rest(); // a box alone says nothing about the figure
      return;
    }
    if (!this.edited && !crop && !points.some(({ positive }) => positive)) {
      this.settle("none", null);
      return;
    }
    this.settle("waiting", this.mask);
    this.answered = this.fetchMask(this.newest, delayMs);
  }

  async fetchMask(number, delayMs) {
    if (delayMs) await new Promise((go) => { setTimeout(go, delayMs); });
    if (number !== this.newest) return;
    const asked = this.context();
    const { edited } = this;
    const start = performance.now();
    try {
      const answer = await this.ask(asked, this.flight.signal);
      if (edited) edited.told = true;
      if (number !== this.newest) return;
      this.latencyMs = performance.now() - start;
      const mask = answer.bitmap ? await decodeMask(answer.origin, answer.bitmap) : null;
      if (number !== this.newest) return;
      this.answer = answer;
      this.settle(mask ? "mask" : "none", mask);
    } catch (error) {
      if (number !== this.newest) return;
      error.requestId ??= asked.request_uid;
      // The app may not have (or no longer have) the figure's mask: trying again starts anew.
      if (edited) edited.told = false;
      this.settle("error", null, error);
    }
  }

  /** What the wire wants to know: the platform's contract, section 3.1. */
  context() {
    return {
      ...wirePrompts(this.prompts),
      ...this.place.source,
      ...this.editContext(),
      request_uid: newRequestId(),
    };
  }

  /** The figure's own mask goes with the first click only; later ones name the figure. */
  editContext() {
    if (!this.edited) return {};
    const { figure, sent, told } = this.edited;
    if (told) return { figure_id: figure.id };
    return { figure_id: figure.id, init_figure: true, mask: sent };
  }

  /** The finished object as it is saved; null without a mask, or when the person left the place. */
  async finished() {
    const { key } = this.place;
    while (this.state === "waiting" && this.place?.key === key) await this.answered;
    if (this.state !== "mask" || this.place?.key !== key) return null;
    const { origin, bitmap } = this.answer;
    return { origin, bitmap, prompt: keptPrompts(this.prompts) };
  }

  settle(state, mask, error = null) {
    Object.assign(this, { state, mask, error });
    this.changed(this);
  }
}

/** A random name for a request. (`crypto.randomUUID` exists only on https and on this machine.) */
export function newRequestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
