// What others change, in another tab or elsewhere, shows here too; and it is said when the workspace
// cannot be reached.

import { getRevision } from "./api.js";

const EVERY_MS = 3000;
const LOST_MS = 1000; // how often it is tried again

/** Asks every few seconds whether anything was changed. */
export class Following {
  /**
   * @param {(away: boolean) => Promise} refresh - show what is there now; `away`: the page was not
   *   looked at, or the workspace not reached, so that anything may be new
   */
  constructor(store, refresh) {
    Object.assign(this, { store, refresh, revision: null });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.look(true); });
    this.look();
  }

  async look(away = false) {
    clearTimeout(this.timer);
    if (!this.looking && !document.hidden) {
      this.looking = true;
      await this.ask(away);
      this.looking = false;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), this.store.get("lost") ? LOST_MS : EVERY_MS);
  }

  async ask(away) {
    const { store } = this;
    try {
      const { revision } = await getRevision();
      const lost = store.get("lost") !== null;
      const news = this.revision !== null && revision !== this.revision;
      if (lost) store.set({ lost: null });
      if (news || lost) await this.refresh(away || lost);
      this.revision = revision;
    } catch (error) {
      // What could not be shown is tried again; a server that answers is not lost.
      if (error.status === 0) store.set({ lost: error.message });
    }
  }
}
