// The Smart Tool: one object in the making, from its first prompt to its mask.

import { decodeMask } from "./mask.js";

const NOTHING = Object.freeze({ crop: null, points: Object.freeze([]) });

/**
 * Holds a box and clicks, asks for the mask after each change, keeps only the newest answer.
 *
 * States: "idle" (no object), "waiting" (a mask is on its way), "mask", "none" (the model finds
 * nothing there), "error".
 */
export class SmartTool {
  /**
   * @param {(context: object, signal: AbortSignal) => Promise<object>} ask - sends a Smart Tool
   *   context to the app
   * @param {(tool: SmartTool) => void} changed - called after every change
   */
  constructor(ask, changed) {
    Object.assign(this, { ask, changed });
    this.begin(null);
  }

  /** Forget everything and work on another image, {id, width, height}, or on none. */
  begin(image) {
    this.image = image;
    this.prompts = NOTHING;
    this.past = [];
    this.future = [];
    this.outdate();
    this.settle("idle", null);
  }

  /** Whatever is on its way now is stale: stop it, and ignore it should it arrive all the same. */
  outdate() {
    this.newest = (this.newest ?? 0) + 1;
    this.flight?.abort();
    this.flight = new AbortController();
  }

  get active() {
    return this.prompts !== NOTHING;
  }

  /** Set the box: two corners in image coordinates, any order. */
  setBox(from, to) {
    const [x0, x1] = this.span(from.x, to.x, this.image.width);
    const [y0, y1] = this.span(from.y, to.y, this.image.height);
    if (x1 - x0 < 2 || y1 - y0 < 2) return;
    const inside = ({ x, y }) => x >= x0 && x <= x1 && y >= y0 && y <= y1;
    const points = this.prompts.points.filter(inside);
    this.change({ crop: [{ x: x0, y: y0 }, { x: x1, y: y1 }], points });
  }

  /**
   * Add a click.
   * @returns {string|null} why it cannot be added, in words
   */
  addPoint(point, positive) {
    const [x, y] = [Math.floor(point.x), Math.floor(point.y)];
    const { width, height } = this.image;
    if (x < 0 || y < 0 || x >= width || y >= height) return "Click inside the image.";
    const crop = this.prompts.crop;
    if (crop && (x < crop[0].x || y < crop[0].y || x > crop[1].x || y > crop[1].y)) {
      return "Click inside the box, or drag one of its corners first.";
    }
    if (!positive && !this.active) return "Start with a box or with a click on the object.";
    this.change({ ...this.prompts, points: [...this.prompts.points, { x, y, positive }] });
    return null;
  }

  removePoint(index) {
    const points = this.prompts.points.filter((_, at) => at !== index);
    this.change(points.length || this.prompts.crop ? { ...this.prompts, points } : NOTHING);
  }

  undo() {
    if (!this.past.length) return;
    this.future.push(this.prompts);
    this.prompts = this.past.pop();
    this.request();
  }

  redo() {
    if (!this.future.length) return;
    this.past.push(this.prompts);
    this.prompts = this.future.pop();
    this.request();
  }

  /** Drop the object. */
  drop() {
    this.begin(this.image);
  }

  change(prompts) {
    this.past.push(this.prompts);
    this.future = [];
    this.prompts = prompts;
    this.request();
  }

  /** Ask for the mask of the present prompts; resolves when this or a newer answer is there. */
  request() {
    this.outdate();
    const clicks = this.prompts.points.filter(({ positive }) => positive);
    if (!this.active || (!clicks.length && !this.prompts.crop)) {
      this.settle(this.active ? "none" : "idle", null);
      return;
    }
    this.settle("waiting", this.mask);
    this.answered = this.fetchMask(this.newest);
  }

  async fetchMask(number) {
    const asked = this.context();
    const start = performance.now();
    try {
      const answer = await this.ask(asked, this.flight.signal);
      if (number !== this.newest) return;
      this.latencyMs = performance.now() - start;
      const mask = answer.bitmap ? await decodeMask(answer.origin, answer.bitmap) : null;
      if (number !== this.newest) return;
      this.answer = answer;
      this.settle(mask ? "mask" : "none", mask);
    } catch (error) {
      if (number !== this.newest) return;
      error.requestId ??= asked.request_uid;
      this.settle("error", null, error);
    }
  }

  /** What the wire wants to know: the platform's contract, section 3.1. */
  context() {
    const { crop, points } = this.prompts;
    const clicks = (wanted) =>
      points.filter(({ positive }) => positive === wanted).map(({ x, y }) => ({ x, y }));
    return {
      ...(crop ? { crop } : {}),
      positive: clicks(true),
      negative: clicks(false),
      image_id: this.image.id,
      request_uid: newRequestId(),
    };
  }

  /** The finished object as it is saved, or null while there is no mask. */
  async finished() {
    while (this.state === "waiting") await this.answered;
    if (this.state !== "mask") return null;
    const { crop, positive, negative } = this.context();
    const pairs = (points) => points.map(({ x, y }) => [x, y]);
    const prompt = { positive: pairs(positive), negative: pairs(negative), visible: true };
    if (crop) prompt.crop = pairs(crop);
    return { origin: this.answer.origin, bitmap: this.answer.bitmap, prompt };
  }

  settle(state, mask, error = null) {
    Object.assign(this, { state, mask, error });
    this.changed(this);
  }

  span(from, to, size) {
    const clamp = (value) => Math.min(Math.max(Math.floor(value), 0), size - 1);
    return [clamp(Math.min(from, to)), clamp(Math.max(from, to))];
  }
}

/** A random name for a request. (`crypto.randomUUID` exists only on https and on this machine.) */
function newRequestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
