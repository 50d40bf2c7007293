// What is said over the stage: the next step, what went wrong, what is missing.

import { element, iconButton } from "../dom.js";
import { mediaOf } from "../places.js";

const HINTS = {
  empty: "",
  idle: "Drag a box around an object, or click on it",
  edit: "Click: more of this · Shift+click: not this · Esc: leave the figure as it was",
  waiting: "Computing the mask…",
  mask: "Click: more of this · Shift+click: not this · Alt+click: remove a click · Space: save",
  none: "Nothing found there. Click on the object, or undo with Ctrl+Z",
  error: "Undo with Ctrl+Z, drop with Esc, or try again",
};
const TOOL_HINTS = {
  box: "Drag a box: it becomes a figure of the chosen class",
  reshape: "Drag the edge to move it, a grip to resize it · Esc: done",
  region: "Drag a region, or apply to the whole picture · Right click: menu of a figure",
};
const AIM_HINT = "Arrows: move (Shift: a pixel) · Enter: this · Shift+Enter: not this · D: drag · Esc: leave";
const READABLE_MS = 250; // "computing" is said only when it takes long enough to be read

export class Notices {
  /**
   * @param {Element} root - the stage
   * @param {(words: string) => void} speak
   */
  constructor(root, speak) {
    Object.assign(this, { speak, part: (id) => root.querySelector(`#${id}`) });
    this.heard = new Set(); // ids of datasets whose warning was put away
  }

  /** Say what can be done now: in this state of the Smart Tool, or with another tool. */
  hint(state, tool, aiming = false) {
    const busy = state === "waiting";
    const special = aiming ? AIM_HINT : TOOL_HINTS[tool];
    const show = () => {
      this.part("hint").textContent = (!busy && state !== "empty" && special) || HINTS[state];
      this.part("hint").classList.toggle("busy", busy);
    };
    clearTimeout(this.timer);
    if (busy) this.timer = setTimeout(show, READABLE_MS);
    else show();
  }

  /** Show a sentence over the stage, with the request's id and a way to try again. */
  say(sentence, requestId = null, again = null) {
    const notice = this.part("notice");
    notice.hidden = !sentence;
    if (!sentence) return;
    const words = element("div", {}, element("p", {}, sentence));
    if (requestId) words.append(element("code", {}, `request ${requestId}`));
    notice.replaceChildren(words);
    if (again) {
      notice.append(element("button", { type: "button", on: { click: again } }, "Try again"));
    }
    this.speak(sentence);
  }

  /**
   * Say that no model answers, why, and what to do.
   * @param {{open, change}} panel - the Serve panel
   */
  showMissing({ serve, serveError, served, place }, panel) {
    const empty = this.part("empty");
    const words = serveError
      ? `${serveError} What you drew stays here; it goes on by itself when the app is back.`
      : serve?.state === "stopped" ? "No model is served." : null;
    empty.hidden = !words || !place;
    const shown = empty.hidden ? "" : `${words} ${served?.model ?? ""}`;
    if (shown === empty.dataset.shown) return; // asked anew every few seconds: buttons keep the focus
    empty.dataset.shown = shown;
    if (empty.hidden) return;
    const button = (name, click, primary) =>
      element(primary ? "button.primary" : "button", { type: "button", on: { click } }, name);
    const again = !serveError && served?.model;
    empty.replaceChildren(
      element("p", {}, words),
      ...(again
        ? [button(`Serve ${served.model} again`, () => panel.change(served.model, served.device), true)]
        : []),
      button(serveError ? "Details" : "Choose a model", panel.open, !again),
    );
    this.speak(words);
  }

  /** Say that the model that answers is not meant for what is open; until it is put away. */
  showUnfit({ serve, datasets, place }, openPanel) {
    const unfit = this.part("unfit");
    const dataset = datasets.find((one) => mediaOf(one).includes(place?.medium));
    const model = serve?.state === "ready" ? serve.deployed?.model ?? "" : "";
    const words = model.toLowerCase().split(/\W+/);
    const meant = !dataset?.not_for.some((name) => words.includes(name.toLowerCase()));
    unfit.hidden = meant || this.heard.has(dataset.id);
    const shown = unfit.hidden ? "" : `${dataset.id} ${model}`;
    if (shown === unfit.dataset.shown) return; // told anew every few seconds: buttons keep the focus
    unfit.dataset.shown = shown;
    if (unfit.hidden) return;
    const sentence = dataset.description || `${model} is not meant for these.`;
    const choose = element("button", { type: "button", on: { click: openPanel } }, "Choose a model");
    const away = iconButton("cross", "Put the warning away", () => {
      this.heard.add(dataset.id);
      unfit.hidden = true;
    });
    unfit.replaceChildren(element("p", {}, sentence), choose, away);
    this.speak(sentence);
  }
}
