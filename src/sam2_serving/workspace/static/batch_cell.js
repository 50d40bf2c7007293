// One object of the Batched Smart Tool: a figure of an image, the prompts that a person gives it,
// and the masks that the app answered. No element of the page is known here.

import { decodeMask } from "./mask.js";
import { keptPrompts, promptsOf, wirePrompts } from "./prompting.js";

const MARGIN = 0.2; // room beside a box, in parts of its longer side
const LEAST_WINDOW_PX = 32;
const NO_MASK = "No mask. Nothing was found, or it went wrong: try again to be told which.";

/** What the app answered to some prompts. Its mask is decoded when it is to be drawn. */
class Answer {
  constructor(key, origin, bitmap, reason = null, requestId = null) {
    Object.assign(this, { key, origin, bitmap, reason, requestId, mask: null });
  }

  /** Decode the mask; what cannot be decoded is no mask. */
  load() {
    this.loading ??= (this.bitmap ? decodeMask(this.origin, this.bitmap) : Promise.resolve(null))
      .then((mask) => { this.mask = mask; })
      .catch(() => {
        Object.assign(this, { bitmap: null, reason: "The app sent a mask that is no picture." });
      });
    return this.loading;
  }
}

/**
 * States: "new" (never asked), "waiting", "mask" (the app's answer to the prompts as they are),
 * "saved" (the same, and the figure has it), "changed" (the mask is that of earlier prompts),
 * "failed" (the app had no mask; `reason` says what is known of it).
 */
export class Cell {
  /**
   * @param {object} figure - as the workspace lists it
   * @param {{id, name, width, height, version}} image - the image that it is on
   */
  constructor(figure, image) {
    Object.assign(this, { image, excluded: false, waiting: false });
    this.answers = new Map(); // prompts' key -> Answer
    this.last = null; // the answer that is shown while there is none to the present prompts
    this.prompts = promptsOf(figure.meta.smartToolInput) ?? { crop: this.boxOf(figure), points: [] };
    this.start = this.prompts;
    this.adopt(figure);
    const { bitmap } = figure.geometry;
    if (bitmap) this.take(this.key, this.kept);
  }

  /** The figure as it is saved now. */
  adopt(figure) {
    this.figure = figure;
    const { bitmap } = figure.geometry;
    const [x, y] = bitmap?.origin ?? [];
    this.kept = bitmap ? { origin: { x, y }, bitmap: bitmap.data } : null;
  }

  /** The box around a figure: its first and last pixel in the image. */
  boxOf({ geometryMeta: { bbox: [top, left, bottom, right] } }) {
    const { width, height } = this.image;
    const within = (value, size) => Math.min(Math.max(value, 0), size - 1);
    return [
      { x: within(left, width), y: within(top, height) },
      { x: within(right, width), y: within(bottom, height) },
    ];
  }

  /** Names the prompts: equal prompts have one name. */
  get key() {
    return JSON.stringify(this.prompts);
  }

  get answer() {
    return this.answers.get(this.key) ?? null;
  }

  get state() {
    if (this.waiting) return "waiting";
    const { answer } = this;
    if (!answer) return this.last ? "changed" : "new";
    if (!answer.bitmap) return "failed";
    return this.isKept(answer) ? "saved" : "mask";
  }

  isKept({ origin, bitmap }) {
    const { kept } = this;
    return kept?.bitmap === bitmap && kept.origin.x === origin.x && kept.origin.y === origin.y;
  }

  /** Whether a person's work would be lost with this cell. */
  get unsaved() {
    return this.key !== JSON.stringify(this.start) || this.state === "mask";
  }

  /** What undo brings back. */
  get work() {
    return { prompts: this.prompts, excluded: this.excluded };
  }

  /** What the wire wants to know. */
  get context() {
    return { ...wirePrompts(this.prompts), image_id: this.image.id };
  }

  /** The app answered the prompts of that key: a mask, or null. */
  take(key, found, reason = NO_MASK, requestId = null) {
    const { origin = null, bitmap = null } = found ?? {};
    const answer = new Answer(key, origin, origin && bitmap, reason, requestId);
    this.answers.set(key, answer);
    this.last = answer;
  }

  /** Another model answers from now on; what is shown stays. */
  forgetAnswers() {
    this.answers = new Map(this.last ? [[this.last.key, this.last]] : []);
  }

  /** The figure that takes this one's place: the mask that is shown. */
  get newFigure() {
    const { origin, bitmap } = this.answer;
    return {
      on: `images/${this.image.id}`,
      class_id: this.figure.classId,
      geometry_type: "bitmap",
      geometry: { bitmap: { origin: [origin.x, origin.y], data: bitmap } },
      prompt: keptPrompts(this.prompts),
      description: this.figure.description,
      nn_created: true,
    };
  }

  /** The part of the image to show: the box in the middle of a square as far as the image goes. */
  get window() {
    const [from, to] = this.prompts.crop ?? this.boxOf(this.figure);
    const { width, height } = this.image;
    const longer = Math.max(to.x - from.x, to.y - from.y) + 1;
    const side = Math.max(Math.ceil(longer * (1 + 2 * MARGIN)), LEAST_WINDOW_PX);
    const [left, right] = stretch((from.x + to.x + 1) / 2, side, width);
    const [top, bottom] = stretch((from.y + to.y + 1) / 2, side, height);
    return { left, top, right, bottom };
  }
}

/** A stretch of a length around a middle, moved into 0..size where it sticks out. */
function stretch(middle, length, size) {
  const most = Math.min(length, size);
  const from = Math.min(Math.max(Math.round(middle - most / 2), 0), size - most);
  return [from, from + most];
}
