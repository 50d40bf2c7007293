// What a click would give: the mask under the pointer, asked for while the pointer rests.

import { decodeMask } from "./mask.js";
import { newRequestId } from "./smart_tool.js";
import { wirePrompts } from "./prompting.js";

const REST_MS = 120;

/** One request at a time, the newest wish next; nothing of it is kept, undone or said. */
export class Preview {
  /**
   * @param {(context: object, signal: AbortSignal) => Promise<object>} ask - as for the Smart Tool
   * @param {() => void} changed - there is another mask, or none
   */
  constructor(ask, changed) {
    Object.assign(this, { ask, changed, mask: null, wanted: null, asked: null, flight: null });
  }

  /** The pointer is at a point of a place's picture. */
  at(place, point) {
    const [x, y] = [Math.floor(point.x), Math.floor(point.y)];
    if (x < 0 || y < 0 || x >= place.width || y >= place.height) {
      this.stop();
      return;
    }
    this.wanted = { place, x, y };
    if (this.mask && (this.asked.place !== place || !this.mask.covers(x, y))) this.show(null);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.next(), REST_MS);
  }

  /** Nothing is wanted any more: a click comes, the pointer leaves, an object is in the making. */
  stop() {
    clearTimeout(this.timer);
    this.flight?.abort();
    Object.assign(this, { wanted: null, asked: null, flight: null });
    if (this.mask) this.show(null);
  }

  async next() {
    if (this.flight || !this.wanted || this.wanted === this.asked) return;
    const { place, x, y } = this.asked = this.wanted;
    const flight = this.flight = new AbortController();
    const prompts = { crop: null, points: [{ x, y, positive: true }] };
    const context = { ...wirePrompts(prompts), ...place.source, request_uid: newRequestId() };
    let mask = null;
    try {
      const { origin, bitmap } = await this.ask(context, flight.signal);
      mask = bitmap ? await decodeMask(origin, bitmap) : null;
    } catch {
      // It is only a preview: a click will say what is wrong.
    }
    if (this.flight !== flight) return;
    this.flight = null;
    // The pointer may have gone on meanwhile, out of this mask.
    const { wanted } = this;
    this.show(wanted.place === place && mask?.covers(wanted.x, wanted.y) ? mask : null);
    clearTimeout(this.timer);
    if (wanted !== this.asked) this.timer = setTimeout(() => this.next(), REST_MS);
  }

  show(mask) {
    this.mask = mask;
    this.changed();
  }
}
