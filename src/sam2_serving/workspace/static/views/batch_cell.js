// One cell of the Batched Smart Tool's grid: a crop of the image, the mask, the prompts.

import { getCrop } from "../api.js";
import { element, iconButton } from "../dom.js";
import { drawMask } from "../mask.js";
import { withBox, withoutPoint, withPoint } from "../prompting.js";
import { CORNER_CURSORS, cornerAt, drawPrompts, pointAt } from "./prompts.js";

const CROP_PX = 512; // sharp enough at the largest size of a cell
const DRAG_PX = 5; // a press that moves less is a click

const WORDS = {
  new: "no mask yet",
  waiting: "computing…",
  mask: "new mask",
  saved: "saved",
  changed: "changed",
  failed: "no mask",
};

export class CellView {
  /**
   * @param {Cell} cell
   * @param {{prompt, exclude, retry, refuse, changed, color: () => string}} tools - functions: give
   *   the cell prompts, leave it out or not, ask for it alone, say why something cannot be done,
   *   say that the cell is not what it seemed
   */
  constructor(cell, tools) {
    Object.assign(this, { cell, tools, picture: null, press: null, draft: null });
    this.canvas = element("canvas", { tabIndex: -1, role: "img" });
    this.badge = element("span.badge", {});
    this.reason = element("p.reason", { hidden: true });
    this.again = element(
      "button.again", { type: "button", on: { click: () => tools.retry(cell) } }, "Try again",
    );
    this.toggle = iconButton("cross", "Leave out (X)", () => tools.exclude(cell));
    const { name } = cell.image;
    this.root = element(
      "li.cell",
      {},
      element("div.look", {}, this.canvas, this.badge, this.reason),
      element(
        "div.foot", {},
        element("span.name", { title: name }, name), this.again, this.toggle,
      ),
    );
    this.listen();
    this.refresh();
  }

  /** What a person hears of the cell, and sees of its state. */
  refresh() {
    const { cell, root } = this;
    const { state, excluded, image, figure } = cell;
    const look = [cell.key, state, excluded, figure.id, cell.answer ?? cell.last];
    if (this.look?.every((one, index) => one === look[index])) return; // others have changed
    this.look = look;
    const words = excluded ? "left out" : WORDS[state];
    Object.assign(root.dataset, { state, figure: figure.id, excluded });
    this.badge.textContent = words;
    this.canvas.setAttribute("aria-label", `Object ${figure.id} on ${image.name}: ${words}`);
    const failed = state === "failed" && !excluded;
    const { reason, requestId } = failed ? cell.answer : {};
    this.reason.hidden = !failed;
    if (failed) this.reason.replaceChildren(reason, requestId ? ` (request ${requestId})` : "");
    this.again.hidden = !failed;
    this.again.setAttribute("aria-label", `Try object ${figure.id} again`);
    this.toggle.setAttribute("aria-label", `Leave out object ${figure.id}`);
    this.toggle.title = excluded ? "Take in again (X)" : "Leave out (X)";
    this.toggle.setAttribute("aria-pressed", excluded);
    if (this.shown) this.show();
  }

  /** Only one cell of the grid is reached by Tab, with its buttons. */
  reach(reached) {
    for (const one of [this.canvas, this.again, this.toggle]) one.tabIndex = reached ? 0 : -1;
  }

  // What is drawn ---------------------------------------------------------------------------------

  /** Fetch what is missing and draw: the cell is in sight. */
  async show() {
    this.shown = true;
    const { last } = this.cell;
    const answer = this.cell.answer ?? last;
    const window = JSON.stringify(this.cell.window);
    if (this.asked !== window) await this.fetchCrop(window);
    if (answer && !answer.mask && answer.bitmap) {
      await answer.load();
      if (!answer.bitmap) {
        this.look = null; // what was sent turned out to be no mask
        this.tools.changed();
      }
    }
    this.redraw();
  }

  async fetchCrop(window) {
    this.asked = window;
    this.flight?.abort();
    this.flight = new AbortController();
    const { cell } = this;
    const place = cell.window;
    try {
      const picture = await getCrop(cell.image, place, CROP_PX, this.flight.signal);
      if (this.asked === window) this.putPicture(picture, place);
      else picture.close();
    } catch (error) {
      if (this.asked !== window || this.closed) return;
      this.asked = null;
      this.reason.hidden = false;
      this.reason.textContent = error.message ?? "The picture does not come.";
    }
  }

  putPicture(picture, place) {
    this.picture?.close();
    Object.assign(this, { picture, place });
    this.redraw();
  }

  close() {
    this.closed = true;
    this.asked = null;
    this.flight?.abort();
    this.picture?.close();
    this.picture = null;
  }

  /** Draw at the next frame. */
  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.picture) this.draw();
    });
  }

  draw() {
    const { canvas, cell, place } = this;
    const ratio = devicePixelRatio;
    const side = canvas.clientWidth;
    const pixels = Math.round(side * ratio);
    if (canvas.width !== pixels) Object.assign(canvas, { width: pixels, height: pixels });
    const [width, height] = [place.right - place.left, place.bottom - place.top];
    this.scale = side / Math.max(width, height);
    this.offset = {
      x: (side - width * this.scale) / 2 - place.left * this.scale,
      y: (side - height * this.scale) / 2 - place.top * this.scale,
    };
    const { scale, offset } = this;
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, pixels, pixels);
    context.setTransform(
      ratio * scale, 0, 0, ratio * scale, ratio * offset.x, ratio * offset.y,
    );
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, place.left, place.top, width, height);
    const { mask } = cell.answer ?? cell.last ?? {};
    if (mask) drawMask(context, mask, this.tools.color(), scale);
    drawPrompts(context, cell.prompts, this.draft, scale);
    // Where the picture is, for whoever drives the page from outside.
    Object.assign(canvas.dataset, { scale, x: offset.x, y: offset.y });
    this.root.dataset.drawn = mask ? "mask" : "picture";
  }

  // Pointer events --------------------------------------------------------------------------------

  listen() {
    const on = (name, listener) => this.canvas.addEventListener(name, listener);
    on("pointerdown", (event) => this.begin(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.end(event));
    on("pointercancel", () => this.cancel());
    on("contextmenu", (event) => event.preventDefault());
  }

  imagePoint(event) {
    const frame = this.canvas.getBoundingClientRect();
    return {
      x: (event.clientX - frame.left - this.offset.x) / this.scale,
      y: (event.clientY - frame.top - this.offset.y) / this.scale,
    };
  }

  begin(event) {
    if (event.button !== 0 || !this.picture || this.cell.excluded) return;
    const { prompts } = this.cell;
    const point = this.imagePoint(event);
    if (event.altKey) {
      const index = pointAt(prompts.points, point, this.scale);
      if (index >= 0) this.tools.prompt(this.cell, withoutPoint(prompts, index));
      return;
    }
    const corner = event.shiftKey ? null : cornerAt(prompts.crop, point, this.scale);
    this.press = { point, corner, at: { x: event.clientX, y: event.clientY }, dragged: false };
    this.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    const { press, cell } = this;
    if (!this.picture) return;
    const point = this.imagePoint(event);
    if (!press) {
      const { crop, points } = cell.prompts;
      const corner = cornerAt(crop, point, this.scale);
      const removable = event.altKey && pointAt(points, point, this.scale) >= 0;
      this.canvas.style.cursor = removable ? "not-allowed" : (CORNER_CURSORS[corner?.index] ?? "");
      return;
    }
    const { at } = press;
    press.dragged ||= Math.hypot(event.clientX - at.x, event.clientY - at.y) >= DRAG_PX;
    if (!press.dragged || !press.corner) return;
    this.draft = { from: press.corner.opposite, to: point };
    this.redraw();
  }

  end(event) {
    const { press, draft, cell, tools } = this;
    this.press = null;
    this.draft = null;
    if (!press) return;
    if (draft) {
      const changed = withBox(cell.prompts, draft.from, draft.to, cell.image);
      if (changed) tools.prompt(cell, changed);
      else this.redraw();
    } else if (!press.dragged) {
      const added = withPoint(cell.prompts, press.point, !event.shiftKey, cell.image);
      if (added.refusal) tools.refuse(added.refusal);
      else tools.prompt(cell, added.prompts);
    }
  }

  cancel() {
    Object.assign(this, { press: null, draft: null });
    this.redraw();
  }
}
