// The frames that playback shows next, fetched ahead: each with its picture, figures and masks.

import { getFigures, getPicture } from "./api.js";
import { decodeMasks } from "./mask.js";
import { placeOf } from "./places.js";

const AHEAD = 12;

/**
 * Fetches one frame after the other: the workspace reads a film forward, and a frame out of turn
 * costs it a jump.
 */
export class Reel {
  constructor() {
    this.ready = new Map(); // frame -> {key, picture, figures, masks}
    this.flight = null;
  }

  /** Forget everything, and fetch for this video from now on. */
  begin(video) {
    this.end();
    Object.assign(this, { video, flight: new AbortController(), busy: false, failed: null });
  }

  end() {
    this.flight?.abort();
    this.flight = null;
    this.dropBefore(Infinity);
  }

  /**
   * Fetch the first frame that is missing, from `first` on.
   * @param {(frame: number) => boolean} labeled - whether a frame may have figures
   */
  want(first, labeled) {
    this.dropBefore(first - AHEAD);
    if (this.busy || this.failed !== null) return;
    const end = Math.min(first + AHEAD, this.video.frames);
    for (let frame = first; frame < end; frame += 1) {
      if (this.ready.has(frame)) continue;
      this.fetch(frame, labeled(frame));
      return;
    }
  }

  async fetch(frame, labeled) {
    const { flight, video } = this;
    const place = placeOf(video, { frame });
    this.busy = true;
    try {
      const [picture, figures] = await Promise.all([
        getPicture(place, flight.signal),
        labeled ? getFigures(place) : [],
      ]);
      const masks = await decodeMasks(figures);
      if (this.flight === flight) this.ready.set(frame, { key: place.key, picture, figures, masks });
      else picture.close();
    } catch {
      if (this.flight === flight) this.failed = frame;
    }
    if (this.flight === flight) this.busy = false;
  }

  /** The newest frame that is here, after one and up to another; null: none. */
  newest(after, upTo) {
    let found = null;
    for (const frame of this.ready.keys()) {
      if (frame > after && frame <= upTo && frame > (found ?? -1)) found = frame;
    }
    return found;
  }

  /** Hand a place's frame over, if it is here: {picture, figures, masks}. */
  take(key) {
    for (const [frame, entry] of this.ready) {
      if (entry.key !== key) continue;
      this.ready.delete(frame);
      return entry;
    }
    return null;
  }

  dropBefore(first) {
    for (const [frame, { picture }] of this.ready) {
      if (frame >= first) continue;
      picture.close();
      this.ready.delete(frame);
    }
  }
}
