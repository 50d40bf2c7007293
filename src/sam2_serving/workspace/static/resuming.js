// A reload comes back to the same place: what is begun, what can be undone, where one was. Kept in
// the browser, for each tab by itself.

import { NOTHING } from "./prompting.js";
import { keep, recall } from "./remembering.js";

const PREFIX = "sam2-serving.work";
const TAB = "sam2-serving.tab";
const SOON_MS = 150;
const FREED_MS = 2000; // until the page that this one is a reload of has gone
const WEEK_MS = 7 * 24 * 3600 * 1000;
const CHOSEN = ["tool", "classId", "region", "followed", "hidden"];

/** What a tab keeps: begun by `begin`, given out by `restored`, kept by `note` from then on. */
export class Resuming {
  /** @param {() => object} collect - what is to be kept now, as JSON has it */
  constructor(store, collect) {
    Object.assign(this, { store, collect, kept: true });
    this.prefix = `${PREFIX}.${store.get("session").project}.`;
  }

  /** @returns {Promise<object>} what this tab kept, or one that was closed; empty: nothing */
  async begin() {
    try {
      this.key = this.prefix + await ownTab();
    } catch {
      this.kept = false; // This browser is told to remember nothing.
      return {};
    }
    const own = recall(this.key);
    const found = own.at ? own : await this.adopted();
    for (const name of ["pagehide", "visibilitychange"]) addEventListener(name, () => this.write());
    return found;
  }

  /** What was kept by the tab that was closed last, if no tab has it. */
  async adopted() {
    const open = await openTabs();
    if (!open) return {};
    const left = Object.keys(localStorage)
      .filter((key) => key.startsWith(this.prefix) && !open.has(key.slice(this.prefix.length)))
      .map((key) => ({ key, kept: recall(key) }))
      .sort((one, other) => (other.kept.at ?? 0) - (one.kept.at ?? 0));
    for (const { key, kept } of left) {
      if (!(Date.now() - kept.at < WEEK_MS)) localStorage.removeItem(key);
    }
    if (!left.length) return {};
    localStorage.removeItem(left[0].key);
    return left[0].kept;
  }

  /** Something has changed: it is kept soon. */
  note() {
    if (this.key) this.timer ??= setTimeout(() => this.write(), SOON_MS);
  }

  write() {
    clearTimeout(this.timer);
    this.timer = null;
    if (!this.key) return;
    const chosen = Object.fromEntries(CHOSEN.map((name) => [name, this.store.get(name)]));
    this.kept = keep(this.key, { ...this.collect(), chosen, at: Date.now() });
  }

  /** Put what was chosen back, as far as it is there still. */
  choose({ chosen = {} }) {
    const { classId, tool, followed, hidden } = chosen;
    const classes = this.store.get("classes");
    this.store.set({
      ...(classes.some(({ id }) => id === classId) ? { classId } : {}),
      ...(["smart", "box", "region"].includes(tool) ? { tool } : {}),
      followed: typeof followed === "number" ? followed : null,
      hidden: hidden === true,
    });
  }
}

/** A name that no other tab has, the same after a reload. */
async function ownTab() {
  let name = sessionStorage.getItem(TAB) ?? newName();
  // A tab that was doubled has the other's name.
  if (!(await held(name))) {
    name = newName();
    await held(name);
  }
  sessionStorage.setItem(TAB, name);
  return name;
}

const newName = () => Math.random().toString(36).slice(2, 10);

/** Hold a tab's name as long as the page lives. Browsers offer it only at safe addresses. */
function held(name) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(FREED_MS);
    navigator.locks.request(`${TAB}.${name}`, { signal }, () => {
      resolve(true);
      return new Promise(() => {});
    }).catch(() => resolve(false));
  });
}

/** Names of the tabs that are open; null: nobody knows. */
async function openTabs() {
  if (!navigator.locks) return null;
  const { held: locks } = await navigator.locks.query();
  return new Set(locks.map(({ name }) => name.slice(TAB.length + 1)));
}

// Times: the page counts from its own start, what is kept from 1970.

export const toEpoch = (at) => performance.timeOrigin + at;
export const fromEpoch = (at) => at - performance.timeOrigin;

/** Prompts as they were kept: nothing is the one and only nothing. */
export const revived = (prompts) => (prompts?.crop || prompts?.points?.length ? prompts : NOTHING);
