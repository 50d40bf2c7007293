// The other two planes of a volume, beside the one that is worked on: where the cross-hair is.

import { getFigures, getPicture } from "../api.js";
import { colorOf } from "../colors.js";
import { crossAt, crossIn, drawCross, Mover, PLANES, SIDES } from "../crosshair.js";
import { element, icon } from "../dom.js";
import { isVeiled } from "../keeping.js";
import { decodeMasks, drawMask } from "../mask.js";
import { openPlace, placeOf } from "../places.js";
import { drawOutline, hasOutline } from "../shapes.js";

/**
 * @param {Stage} stage - shows the plane that is worked on; gets the cross-hair as its last layer
 */
export function mountPlanes(root, store, stage) {
  const panes = [new Pane(store, stage), new Pane(store, stage)];
  root.append(...panes.map(({ node }) => node));
  stage.layers.push((context, scale) => {
    const place = store.get("place");
    if (place?.medium.kind !== "volume" || !store.get("cross") || stage.held) return;
    drawCross(context, crossIn(place.at.plane, place), place.width, place.height, scale);
  });
  store.watch(["place", "planes"], ({ medium, place, planes }) => {
    root.hidden = medium?.kind !== "volume" || !planes;
    if (medium?.kind === "volume") stage.redraw();
    if (root.hidden) return;
    const others = Object.keys(PLANES).filter((plane) => plane !== place.at.plane);
    panes.forEach((pane, index) => pane.show(placeOf(medium, { ...place.at, plane: others[index], slice: undefined })));
  });
  store.watch(["places", "figures", "classes"], () => panes.forEach((pane) => pane.look()));
  store.watch(["coloring", "hidden", "opacity", "veiled", "cross"], () => {
    panes.forEach((pane) => pane.draw());
    stage.redraw();
  });
}

class Pane {
  constructor(store, stage) {
    Object.assign(this, { store, stage, place: null, picture: null, figures: [], masks: new Map() });
    this.mover = new Mover((at) => openPlace(store, store.get("medium"), at), () => !stage.held);
    this.title = element("span", {});
    this.button = element(
      "button", { type: "button", on: { click: () => this.work() } }, this.title, icon("fit"),
    );
    this.count = element("output.quiet", {});
    this.canvas = element("canvas", {});
    this.sides = element("div.sides", { "aria-hidden": "true" });
    this.slider = element("input", {
      type: "range", min: 0, on: { input: () => this.go(this.slider.valueAsNumber) },
    });
    this.node = element(
      "section.plane", {},
      element("header", {}, this.button, this.count),
      element("div.view", {}, this.canvas, this.sides), this.slider,
    );
    this.context = this.canvas.getContext("2d");
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.listen();
  }

  get plane() {
    return this.place.at.plane;
  }

  /** Show a slice of this pane's plane, and where the other two cross it. */
  show(place) {
    const other = this.place?.medium !== place.medium || this.place?.at.plane !== place.at.plane;
    this.place = place;
    const { at: { plane, slice }, medium } = place;
    const name = PLANES[plane];
    this.title.textContent = name;
    this.button.title = `Work on the ${plane} plane`;
    this.button.setAttribute("aria-label", `Work on the ${plane} plane`);
    this.slider.setAttribute("aria-label", `${name} slice`);
    this.slider.max = medium.planes[plane].slices - 1;
    this.slider.value = slice;
    this.count.textContent = `${slice} of 0 – ${medium.planes[plane].slices - 1}`;
    this.node.dataset.plane = plane;
    this.sides.replaceChildren(...Object.entries(SIDES[plane])
      .map(([side, letter]) => element("span", { data: { side } }, letter)));
    if (other) this.take(null, null);
    this.fetch();
    this.draw();
  }

  /** Fetch the picture that is wanted, one at a time: the newest wish is next. */
  async fetch() {
    const { place } = this;
    if (this.busy || this.place.picture === this.shown) return;
    this.busy = true;
    const picture = await getPicture(place).catch(() => null);
    this.busy = false;
    const wanted = this.place;
    if (wanted.medium === place.medium && wanted.at.plane === place.at.plane) {
      this.take(picture, place);
    } else picture?.close();
    if (wanted.picture !== place.picture) this.fetch();
  }

  take(picture, place) {
    this.picture?.close();
    this.picture = picture;
    this.shown = place?.picture ?? null;
    this.look();
    this.draw();
  }

  /** Fetch what is marked on the slice that is shown. */
  async look() {
    const { place } = this;
    const { plane, slice } = place?.at ?? {};
    const marked = place && this.store.get("places")?.[`${plane}:${slice}`];
    const figures = marked ? await getFigures(place).catch(() => []) : [];
    const masks = await decodeMasks(figures, this.masks);
    if (this.place?.key !== place?.key) return;
    Object.assign(this, { figures, masks, marked: place?.key });
    this.draw();
  }

  draw() {
    const { canvas, context, picture, place } = this;
    const { clientWidth, clientHeight } = canvas;
    canvas.width = Math.round(clientWidth * devicePixelRatio);
    canvas.height = Math.round(clientHeight * devicePixelRatio);
    if (!picture || !clientWidth) return;
    const { width, height } = picture;
    this.scale = Math.min(clientWidth / width, clientHeight / height);
    this.offset = { x: (clientWidth - width * this.scale) / 2, y: (clientHeight - height * this.scale) / 2 };
    const scale = this.scale * devicePixelRatio;
    context.setTransform(scale, 0, 0, scale, this.offset.x * devicePixelRatio, this.offset.y * devicePixelRatio);
    context.imageSmoothingEnabled = scale < 3;
    context.drawImage(picture, 0, 0);
    const drawn = this.shown === place.picture && this.marked === place.key ? this.drawFigures() : 0;
    if (this.store.get("cross")) drawCross(context, crossIn(this.plane, place), width, height, this.scale);
    Object.assign(this.node.dataset, {
      slice: place.at.slice, figures: drawn, shown: this.shown === place.picture ? "yes" : "no",
    });
  }

  drawFigures() {
    const [classes, coloring, hidden, veiled, percent] =
      ["classes", "coloring", "hidden", "veiled", "opacity"].map((name) => this.store.get(name));
    if (hidden) return 0;
    const shown = this.figures.filter((figure) => !isVeiled({ veiled }, figure));
    for (const figure of shown) {
      const color = colorOf(figure, { classes, coloring });
      const known = this.masks.get(figure.id);
      if (known) drawMask(this.context, known.mask, color, this.scale, false, percent / 100);
      else if (hasOutline(figure)) drawOutline(this.context, figure, color, this.scale, false, percent / 100);
    }
    return shown.length;
  }

  // What a person does ----------------------------------------------------------------------------

  listen() {
    const { canvas } = this;
    canvas.title = "Click or drag: move the cross-hair. Wheel: go through the slices";
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.picture) return;
      canvas.setPointerCapture(event.pointerId);
      this.point(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) this.point(event);
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (this.place) this.go(this.place.at.slice - Math.sign(event.deltaY || event.deltaX));
    });
  }

  point(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const x = (event.clientX - left - this.offset.x) / this.scale;
    const y = (event.clientY - top - this.offset.y) / this.scale;
    this.mover.to(crossAt(this.plane, this.place.medium, { x, y }));
  }

  /** Go to another slice of this plane; the one that is worked on stays. */
  go(slice) {
    openPlace(this.store, this.place.medium, { [this.plane]: slice });
  }

  /** Make this the plane that is worked on. */
  work() {
    openPlace(this.store, this.place.medium, { plane: this.plane, slice: undefined });
  }
}
