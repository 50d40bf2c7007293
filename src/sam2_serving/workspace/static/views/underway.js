// Over the stage: the request that runs, what could not be saved, and that nothing is reached.

import { element } from "../dom.js";

const EVERY_MS = 200;

/**
 * @param {Element} root - the stage
 * @param {Changes} changes
 */
export function mountUnderway(root, store, changes) {
  mountJob(root.querySelector("#job"), store);
  mountLost(root.querySelector("#lost"), store, changes);
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

/** The workspace is not reached: what that means. When it is back, what waits is saved. */
function mountLost(node, store, changes) {
  let was = null;
  store.watch(["lost"], ({ lost }) => {
    node.hidden = !lost;
    node.textContent = lost
      ? `${lost} What you have begun stays in this browser; it goes on by itself when it is back.`
      : "";
    if (was && !lost && changes.unsaved) changes.saveAgain();
    was = lost;
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
