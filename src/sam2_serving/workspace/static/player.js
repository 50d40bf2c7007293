// Playback: which frame is due, and what to do when it is not here in time.

import { openPlace } from "./places.js";

/**
 * Plays the open video while the store's `playing` is true, at its own speed. Frames that do not
 * come in time are left out; the frame that is named is always the one that is shown.
 */
export class Player {
  constructor(store, reel) {
    Object.assign(this, { store, reel, video: null });
    store.watch(["playing"], ({ playing }) => (playing ? this.start() : this.stop()));
    store.watch(["place"], ({ medium, place }) => {
      // Somebody went elsewhere meanwhile.
      const own = medium === this.video && place?.at.frame === this.shown;
      if (this.video && !own) store.set({ playing: false });
    });
  }

  start() {
    const [medium, place] = ["medium", "place"].map((name) => this.store.get(name));
    if (medium?.kind !== "video") {
      this.store.set({ playing: false });
      return;
    }
    const atEnd = place.at.frame >= medium.frames - 1;
    this.shown = atEnd ? -1 : place.at.frame;
    Object.assign(this, { video: medium, first: this.shown, since: performance.now() });
    this.reel.begin(medium);
    this.next();
  }

  stop() {
    cancelAnimationFrame(this.timer);
    this.video = null;
    this.reel.end();
  }

  next() {
    this.timer = requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    const { video, reel, store } = this;
    const last = video.frames - 1;
    const passed = Math.floor(((now - this.since) / 1000) * video.fps);
    const due = Math.min(this.first + Math.max(passed, 1), last);
    reel.want(Math.max(this.shown + 1, due), (index) => this.labeled(index));
    const frame = reel.newest(this.shown, due);
    if (frame !== null) this.show(frame);
    if (this.video !== video) return; // a watcher stopped it
    if (this.shown === last) store.set({ playing: false });
    else if (reel.failed !== null) this.giveUp(reel.failed);
    else this.next();
  }

  /** Whether a frame may have figures. While a run goes on, its objects are known first. */
  labeled(frame) {
    const places = this.store.get("places");
    const on = ({ from, to }) => from <= frame && frame <= to;
    return !places || `frame:${frame}` in places
      || this.store.get("objects").some(({ frames }) => frames.some(on));
  }

  show(frame) {
    this.shown = frame;
    openPlace(this.store, this.video, { frame });
  }

  /** Open a frame that could not be fetched in the usual way, which says what is wrong. */
  giveUp(frame) {
    const { store, video } = this;
    store.set({ playing: false });
    openPlace(store, video, { frame });
  }
}
