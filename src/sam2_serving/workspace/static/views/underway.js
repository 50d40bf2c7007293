// Over the stage: the request that runs, and what could not be saved.

import { element } from "../dom.js";

const EVERY_MS = 200;

/**
 * @param {Element} root - the stage
 * @param {Changes} changes
 */
export function mountUnderway(root, store, changes) {
  mountJob(root.querySelector("#job"), store);
  const node = root.querySelector("#unsaved");
  const words = element("p", {});
  const again = element("button", { type: "button", on: { click: () => changes.saveAgain() } }, "Save again");
  const drop = element("button", { type: "button", on: { click: () => changes.drop() } }, "Drop");
  node.append(words, again, drop);
  store.watch(["unsaved"], ({ unsaved }) => {
    node.hidden = !unsaved.length;
    if (!unsaved.length) return;
    const count = unsaved.reduce((sum, { change }) => sum + change.add.length, 0);
    words.textContent = `${count === 1 ? "1 figure is" : `${count} figures are`} not saved yet: ${unsaved.at(-1).problem}`;
  });
}

function mountJob(node, store) {
  const words = element("span", {});
  const time = element("span.quiet", {});
  const bar = element("progress", { "aria-label": "The request runs" });
  const cancel = element("button", {
    type: "button", on: { click: () => store.get("job")?.cancel?.() },
  }, "Cancel");
  node.append(bar, words, time, cancel);
  let timer = null;
  store.watch(["job"], ({ job }) => {
    clearInterval(timer);
    node.hidden = !job;
    if (!job) return;
    words.textContent = `${job.words}…`;
    cancel.hidden = !job.cancel;
    const tick = () => {
      time.textContent = `${Math.floor((performance.now() - job.since) / 1000)} s`;
    };
    tick();
    timer = setInterval(tick, EVERY_MS);
  });
}
