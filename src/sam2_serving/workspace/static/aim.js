// Pointing by keys: a cross on the picture that does what the mouse does, with the tool that is
// chosen.

const STEP_PX = 10; // of the window, so that it is as fine as the picture is large
const EDGE_PX = 40; // nearer to the window's edge the picture goes along
const SAID_MS = 500;
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const NO_KEYS = { shiftKey: false, altKey: false, ctrlKey: false, metaKey: false, button: 0 };

export class Aim {
  /**
   * @param {Stage} stage - whose `tool` does what is wanted
   * @param {{speak: (words: string) => void, changed: () => void, isBusy: () => boolean}} actions -
   *   `changed`: the cross came or went; `isBusy`: Esc has something else to give up
   */
  constructor(stage, actions) {
    Object.assign(this, { stage, ...actions, at: null, from: null });
    stage.canvas.addEventListener("keydown", (event) => this.key(event));
    // Who takes the mouse points with it.
    stage.canvas.addEventListener("pointerdown", () => this.end(), { capture: true });
  }

  get active() {
    return this.at !== null;
  }

  key(event) {
    const { key, shiftKey, altKey, ctrlKey, metaKey } = event;
    const act = this.actionOf(key, shiftKey, altKey);
    if (ctrlKey || metaKey || !act || !this.stage.picture) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat || key in WAYS) act();
  }

  actionOf(key, shiftKey, altKey) {
    if (!this.active) return key === "Enter" && !shiftKey && !altKey ? () => this.begin() : null;
    if (key in WAYS) return altKey ? null : () => this.move(WAYS[key], shiftKey);
    if (key === "Enter") return () => this.click({ ...NO_KEYS, shiftKey, altKey });
    if (key.toLowerCase() === "d" && !altKey) return () => (this.from ? this.letGo() : this.hold());
    if (key === "ContextMenu" || (key === "F10" && shiftKey)) return () => this.menu();
    if (key === "Escape" && this.from) return () => this.cancel();
    if (key === "Escape" && !this.isBusy()) return () => this.end();
    return null;
  }

  /** In the middle of what is to be seen. */
  begin() {
    const { stage } = this;
    const { width, height } = stage.picture;
    const middle = (size, axis, last) => {
      const seen = Math.floor((size / 2 - stage.offset[axis]) / stage.scale);
      return Math.min(Math.max(seen, 0), last - 1);
    };
    this.at = {
      x: middle(stage.canvas.clientWidth, "x", width), y: middle(stage.canvas.clientHeight, "y", height),
    };
    this.speak("Pointing by keys. Arrows move, Enter clicks, D drags, Escape leaves.");
    this.moved();
    this.changed();
  }

  end() {
    if (!this.active) return;
    this.cancel();
    this.at = null;
    delete this.stage.canvas.dataset.cross;
    this.stage.tool.leave();
    this.changed();
    this.stage.redraw();
  }

  /** By a step of the window, or by one pixel of the picture. */
  move([right, down], fine) {
    const { picture, scale } = this.stage;
    const step = fine ? 1 : Math.max(1, Math.round(STEP_PX / scale));
    const to = (value, way, size) => Math.min(Math.max(value + way * step, 0), size - 1);
    this.at = { x: to(this.at.x, right, picture.width), y: to(this.at.y, down, picture.height) };
    this.moved();
  }

  moved() {
    const { stage, point } = this;
    this.follow();
    stage.canvas.dataset.cross = `${this.at.x} ${this.at.y}`; // for who drives the page from outside
    if (this.from) stage.tool.drag(this.from, point);
    else stage.tool.hover(point, NO_KEYS);
    stage.redraw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.active && this.speak(`${this.at.x}, ${this.at.y}`), SAID_MS);
  }

  /** The middle of its pixel. */
  get point() {
    return { x: this.at.x + 0.5, y: this.at.y + 0.5 };
  }

  /** Where it is on the canvas, in CSS pixels; empty: there is none. */
  get spot() {
    const { offset, scale } = this.stage;
    return this.active ? ["x", "y"].map((axis) => offset[axis] + this.point[axis] * scale) : [];
  }

  /** Keep the cross in sight. */
  follow() {
    const { canvas, offset, scale } = this.stage;
    const pull = (axis, size) => {
      const seen = offset[axis] + this.point[axis] * scale;
      const wanted = Math.min(Math.max(seen, EDGE_PX), size - EDGE_PX);
      offset[axis] += wanted - seen;
      return wanted !== seen;
    };
    const pulled = [pull("x", canvas.clientWidth), pull("y", canvas.clientHeight)];
    if (pulled.includes(true)) this.stage.fitted = false;
  }

  click(event) {
    const { stage: { tool }, point } = this;
    if (this.from) this.letGo();
    else if (tool.press(point, event)) tool.release(point, point, false, event);
  }

  hold() {
    const { point } = this;
    if (!this.stage.tool.press(point, NO_KEYS)) return;
    this.from = point;
    this.speak("Held. Arrows drag, D lets go.");
    this.stage.redraw();
  }

  letGo() {
    const { from, point } = this;
    this.from = null;
    this.stage.tool.release(from, point, from.x !== point.x || from.y !== point.y, NO_KEYS);
  }

  /** Give up what is held. */
  cancel() {
    if (!this.from) return false;
    this.from = null;
    this.stage.tool.cancel();
    return true;
  }

  menu() {
    const { left, top } = this.stage.canvas.getBoundingClientRect();
    const [x, y] = this.spot;
    this.stage.tool.menu(this.point, { clientX: left + x, clientY: top + y });
  }

  /** The stage's last layer. */
  draw(context, scale) {
    if (!this.active || !this.stage.picture) return;
    const { x, y } = this.point;
    const [arm, gap] = [22 / scale, 4 / scale];
    context.save();
    context.beginPath();
    for (const [dx, dy] of Object.values(WAYS)) {
      context.moveTo(x + dx * gap, y + dy * gap);
      context.lineTo(x + dx * arm, y + dy * arm);
    }
    context.moveTo(x + arm / 2, y);
    context.arc(x, y, arm / 2, 0, 2 * Math.PI);
    for (const [style, px] of [["rgb(0 0 0 / 75%)", 4], [this.from ? "#ffd84d" : "#ffffff", 2]]) {
      context.strokeStyle = style;
      context.lineWidth = px / scale;
      context.stroke();
    }
    context.restore();
  }
}
