// The stage: a picture that can be zoomed and panned, with layers drawn over it.

import { Levels } from "./levels.js";

const MAX_SCALE = 40;
const DRAG_PX = 5; // a press that moves less is a click
// Room that the toolbars take, in CSS pixels.
const MARGIN = { top: 66, bottom: 62, side: 24 };

/**
 * Shows a picture. Gives pointer events in image coordinates to `tool`, an object with
 * `press(point, event) -> boolean`, `drag(from, to)`, `release(from, to, dragged, event)`,
 * `hover(point, event)`, `leave()`, `menu(point, event)` (a click of the right button) and
 * `cancel()`.
 */
export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.picture = null;
    this.scale = 1;
    this.offset = { x: 0, y: 0 };
    this.fitted = true; // nobody has zoomed or panned
    this.layers = [];
    this.zoomed = () => {}; // told the scale after each drawing
    this.tool = null;
    this.gesture = null;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  /**
   * Show a picture, or none.
   * @param {ImageBitmap|null} picture
   * @param {boolean} keepView - stay zoomed and panned: it is the same size, a frame further on
   */
  show(picture, keepView = false) {
    this.levels?.close();
    this.picture = picture;
    this.levels = picture && new Levels(picture, () => this.redraw());
    this.hold();
    this.held = false;
    // At once, not at the next frame: what is said of the picture is already there.
    if (keepView) this.draw();
    else this.fit();
  }

  /** What is shown is not what it should be any more; it stays until the next is there. */
  hold() {
    this.held = true;
    this.canvas.dataset.shown = "no";
  }

  /** Show the whole picture, in the middle. */
  fit() {
    this.fitted = true;
    if (!this.picture) {
      this.redraw();
      return;
    }
    const { picture } = this;
    const { width, height } = this.room();
    this.scale = Math.min(this.fitScale, 8);
    this.offset = {
      x: MARGIN.side + (width - picture.width * this.scale) / 2,
      y: MARGIN.top + (height - picture.height * this.scale) / 2,
    };
    this.redraw();
  }

  /** How much room the picture has, in CSS pixels; `fitScale` is the scale that fills it. */
  room() {
    const width = this.canvas.clientWidth - 2 * MARGIN.side;
    const height = this.canvas.clientHeight - MARGIN.top - MARGIN.bottom;
    const { picture } = this;
    this.fitScale = Math.max(Math.min(width / picture.width, height / picture.height), 0.001);
    return { width, height };
  }

  /** Zoom so that the image point under (x, y), in CSS pixels of the canvas, stays there. */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const least = Math.min(this.fitScale ?? 1, 1) / 2;
    const scale = Math.min(Math.max(this.scale * factor, least), MAX_SCALE);
    const ratio = scale / this.scale;
    this.offset = { x: x - (x - this.offset.x) * ratio, y: y - (y - this.offset.y) * ratio };
    this.scale = scale;
    this.fitted = false;
    this.redraw();
  }

  /** What is in the middle of the canvas, in image coordinates. */
  get middle() {
    const { canvas: { clientWidth, clientHeight }, offset, scale } = this;
    return { x: (clientWidth / 2 - offset.x) / scale, y: (clientHeight / 2 - offset.y) / scale };
  }

  /** Look at the picture as it was looked at. @param {{scale: number, middle: {x, y}}} view */
  look({ scale, middle }) {
    const { clientWidth, clientHeight } = this.canvas;
    this.scale = scale;
    this.offset = { x: clientWidth / 2 - middle.x * scale, y: clientHeight / 2 - middle.y * scale };
    this.fitted = false;
    this.draw();
  }

  /** Image coordinates of a pointer event. */
  imagePoint(event) {
    const frame = this.canvas.getBoundingClientRect();
    return {
      x: (event.clientX - frame.left - this.offset.x) / this.scale,
      y: (event.clientY - frame.top - this.offset.y) / this.scale,
    };
  }

  /**
   * Draw at the next frame.
   * @param {boolean} moved - nothing is new but where the picture is
   */
  redraw(moved = false) {
    if (!moved) this.drawn = null;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.drawn) this.shift();
      else this.draw();
    });
  }

  draw() {
    const { canvas, context, scale, offset } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.drawn = null;
    if (!this.picture) return;
    this.paint(offset);
    this.drawn = { ...offset }; // the offset at which it lies on the canvas
    this.tell();
    this.zoomed(scale);
  }

  /** Draw what is there already where it is now, and only what came into sight anew. */
  shift() {
    const { canvas, context, offset, drawn } = this;
    const { width, height } = canvas;
    const [dx, dy] = ["x", "y"]
      .map((axis) => Math.round((offset[axis] - drawn[axis]) * devicePixelRatio));
    if (Math.abs(dx) >= width || Math.abs(dy) >= height) {
      this.draw();
      return;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "copy"; // and nothing where it was
    context.drawImage(canvas, dx, dy);
    context.globalCompositeOperation = "source-over";
    drawn.x += dx / devicePixelRatio;
    drawn.y += dy / devicePixelRatio;
    const [top, left] = [dy > 0 ? 0 : height + dy, dx > 0 ? 0 : width + dx];
    if (dy) this.paint(drawn, [0, top, width, Math.abs(dy)]);
    if (dx) this.paint(drawn, [left, Math.max(dy, 0), Math.abs(dx), height - Math.abs(dy)]);
    this.tell();
  }

  /** Tell whoever drives the page from outside where the picture is. */
  tell() {
    const { scale, offset: { x, y }, held } = this;
    Object.assign(this.canvas.dataset, { scale, x, y, shown: held ? "no" : "yes" });
  }

  /** Draw the picture and what is over it: on the whole canvas, or on a part (x, y, width, height). */
  paint(offset, part = null) {
    const { context, scale } = this;
    const ratio = devicePixelRatio;
    context.save();
    if (part) {
      context.beginPath();
      context.rect(...part);
      context.clip();
    }
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * offset.x, ratio * offset.y);
    context.imageSmoothingEnabled = scale < 3;
    // Of the fitting copy of a large picture no more than each second pixel is left out.
    context.imageSmoothingQuality = this.levels.large ? "low" : "high";
    const { width, height } = this.picture;
    context.drawImage(this.levels.at(scale * ratio), 0, 0, width, height);
    for (const layer of this.layers) layer(context, scale);
    context.restore();
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const before = this.size ?? { clientWidth, clientHeight };
    this.size = { clientWidth, clientHeight };
    this.canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.canvas.height = Math.round(clientHeight * devicePixelRatio);
    if (this.fitted || !this.picture) {
      this.fit();
      return;
    }
    // What was in the middle stays there.
    this.offset.x += (clientWidth - before.clientWidth) / 2;
    this.offset.y += (clientHeight - before.clientHeight) / 2;
    this.room();
    this.redraw();
  }

  listen() {
    const on = (name, listener) => this.canvas.addEventListener(name, listener);
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.wheel(event));
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.release(event));
    on("pointercancel", () => this.cancel());
    on("pointerleave", () => this.tool?.leave());
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    const frame = this.canvas.getBoundingClientRect();
    const factor = Math.exp(-event.deltaY * lines * 0.0015);
    this.zoom(factor, event.clientX - frame.left, event.clientY - frame.top);
  }

  press(event) {
    if (!this.picture || this.gesture) return;
    this.canvas.focus({ preventScroll: true });
    const from = this.imagePoint(event);
    const pan = event.button === 1 || event.button === 2;
    if (!pan && (event.button !== 0 || !this.tool?.press(from, event))) return;
    this.canvas.setPointerCapture(event.pointerId);
    const at = { x: event.clientX, y: event.clientY };
    this.gesture = { pan, from, start: at, last: at, dragged: false };
    event.preventDefault();
  }

  move(event) {
    const gesture = this.gesture;
    if (!gesture) {
      this.tool?.hover(this.imagePoint(event), event);
      return;
    }
    const { start, last } = gesture;
    const far = Math.hypot(event.clientX - start.x, event.clientY - start.y) >= DRAG_PX;
    gesture.dragged ||= far;
    if (gesture.pan && !gesture.dragged) return; // a hand that trembles does not pan
    if (gesture.pan) {
      this.canvas.style.cursor = "grabbing";
      this.offset.x += event.clientX - last.x;
      this.offset.y += event.clientY - last.y;
      this.fitted = false;
      this.redraw(true);
    } else if (gesture.dragged) {
      this.tool.drag(gesture.from, this.imagePoint(event));
    }
    gesture.last = { x: event.clientX, y: event.clientY };
  }

  release(event) {
    const gesture = this.gesture;
    this.gesture = null;
    if (!gesture) return;
    if (gesture.pan) {
      this.canvas.style.cursor = "";
      this.redraw();
      if (event.button === 2 && !gesture.dragged) this.tool?.menu(gesture.from, event);
    } else this.tool.release(gesture.from, this.imagePoint(event), gesture.dragged, event);
  }

  cancel() {
    this.drop();
    this.gesture = null;
    this.canvas.style.cursor = "";
  }

  /**
   * Give up what is being drawn, if anything is; panning goes on.
   * @returns {boolean} whether something was
   */
  drop() {
    if (!this.gesture || this.gesture.pan) return false;
    this.gesture = null;
    this.tool.cancel();
    return true;
  }
}
