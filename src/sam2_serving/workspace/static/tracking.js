// Runs of tracking: started, followed while they run, stopped.

import { getTracks, startTrack, stopTrack } from "./api.js";
import { reload, reloadObjects } from "./views/figures.js";

const EVERY_MS = 400;
const QUIET_MS = 15_000;

/** Keeps the store's `tracks` true while any of them runs. */
export class Tracking {
  constructor(store, speak) {
    Object.assign(this, { store, speak, seen: new Set(), gone: new Set(), video: null });
    store.watch(["medium"], ({ medium }) => this.open(medium));
    store.watch(["playing"], ({ playing, place }) => {
      if (!playing && place && this.video) this.tried(() => reload(store));
    });
  }

  open(medium) {
    if (medium === this.video) return;
    this.video = medium?.kind === "video" ? medium : null;
    this.store.set({ tracks: [], objects: [], followed: null, trackProblem: null });
    this.seen.clear();
    clearTimeout(this.timer);
    if (this.video) this.look();
  }

  /**
   * Follow figures of the open frame.
   * @param {boolean} unsaved - an object is in the making: what is saved is not what is meant
   */
  async start(unsaved) {
    const { store, video } = this;
    if (!video || this.starting) return;
    store.set({ playing: false });
    const { at } = store.get("place");
    const refusal = unsaved
      ? "Save the object (Space) or drop it (Esc) first: saved figures are tracked."
      : !this.followable().length ? "There is no saved figure on this frame to track."
        : store.get("trackFrames") === null ? "Say how many frames to track: 1 to 100000." : null;
    if (refusal) {
      this.refuse(refusal);
      return;
    }
    this.dismiss();
    this.starting = true;
    try {
      const wish = { frame: at.frame, frames: store.get("trackFrames"), objectIds: this.followable() };
      for (const direction of this.directions(at.frame)) {
        const { trackId } = await startTrack(video, { ...wish, direction });
        this.seen.add(trackId);
      }
      this.speak("Tracking.");
    } catch (error) {
      if (this.video === video) this.refuse(`Not tracked: ${error.message}`);
    } finally {
      this.starting = false;
    }
    if (this.video === video) this.look();
  }

  refuse(sentence) {
    this.store.set({ trackProblem: sentence });
    this.speak(sentence);
  }

  /** The objects to follow: the chosen one if it is on the frame, else all that are. */
  followable() {
    const followed = this.store.get("followed");
    const ids = this.store.get("figures").map(({ objectId }) => objectId);
    const known = [...new Set(ids.filter((id) => id !== null))];
    return known.includes(followed) ? [followed] : known;
  }

  /** Both ways means those that lead anywhere from here. */
  directions(frame) {
    const chosen = this.store.get("trackDirection");
    if (chosen !== "both") return [chosen];
    if (frame === 0) return ["forward"];
    return frame < this.video.frames - 1 ? ["forward", "backward"] : ["backward"];
  }

  /**
   * Stop whatever runs on this video.
   * @returns {Promise<boolean>} whether all of it heard
   */
  async stop() {
    const running = this.store.get("tracks").filter(({ state }) => state === "running");
    const asked = await Promise.allSettled(running.map(({ trackId }) => stopTrack(trackId)));
    const deaf = asked.find(({ status }) => status === "rejected");
    if (deaf) this.refuse(`Not stopped: ${deaf.reason.message}`);
    else this.speak("Stopping.");
    this.look();
    return !deaf;
  }

  /** Let what has ended be said no more. */
  dismiss() {
    for (const { trackId, state } of this.store.get("tracks")) {
      if (state !== "running") this.gone.add(trackId);
    }
    this.store.set({ trackProblem: null, tracks: this.worthSaying(this.store.get("tracks")) });
  }

  async look() {
    const { store, video } = this;
    clearTimeout(this.timer);
    const number = (this.looks = (this.looks ?? 0) + 1);
    const before = store.get("tracks");
    const answer = await this.tried(() => getTracks(video));
    if (this.video !== video || this.looks !== number) return;
    const tracks = answer ? this.worthSaying(answer) : before;
    if (answer) await this.take(before, tracks);
    if (this.video !== video || this.looks !== number) return;
    const goesOn = tracks.some(({ state }) => state === "running");
    if (goesOn) this.timer = setTimeout(() => this.look(), EVERY_MS);
  }

  async take(before, tracks) {
    const news = JSON.stringify(before) !== JSON.stringify(tracks);
    if (news) this.newsAt = performance.now();
    const running = tracks.some(({ state }) => state === "running");
    const quiet = running && performance.now() - this.newsAt > QUIET_MS;
    this.store.set({ tracksQuiet: quiet, ...(news ? { tracks } : {}) });
    if (!news) return;
    this.announce(before, tracks);
    await this.tried(() =>
      (this.store.get("playing") ? reloadObjects(this.store) : reload(this.store)));
  }

  announce(before, tracks) {
    const ran = new Set(before.filter(({ state }) => state === "running").map(({ trackId }) => trackId));
    for (const { trackId, state, error } of tracks) {
      if (ran.has(trackId) && state !== "running") this.speak(error ?? `Tracking ${state}.`);
    }
  }

  /** Runs that go on, that this page saw going on, and the newest if it went less than well. */
  worthSaying(tracks) {
    return tracks.filter(({ trackId, state, error, warnings }, index) => {
      if (state === "running") this.seen.add(trackId);
      const troubled = index === 0 && (error !== null || warnings.length > 0);
      return (this.seen.has(trackId) || troubled) && !this.gone.has(trackId);
    });
  }

  /** What some work gives, or null: what it could not see is seen at the next look. */
  async tried(work) {
    try {
      return await work();
    } catch {
      return null;
    }
  }
}
