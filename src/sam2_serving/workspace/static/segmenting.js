// What asks the app for many figures of one picture: everything in it, or one for each box.

import { isLocked } from "./keeping.js";
import { keptPrompts } from "./prompting.js";
import { cornersOf } from "./shapes.js";
import { newRequestId } from "./smart_tool.js";
import { count } from "./words.js";

// Parts of polygons with fewer pixels are no figures of their own.
const SPECK_PX = 16;

/**
 * Runs one such request at a time; the store's `job` says which.
 *
 * What is found is saved as one change, on the place that was asked about, wherever the person is
 * by then.
 */
export class Segmenting {
  /** @param {{changes: Changes, say: Function, speak: Function}} tools */
  constructor(store, app, tools) {
    Object.assign(this, { store, app, ...tools });
  }

  /**
   * Find everything in the open picture.
   * @param {{points, quality, stability, area}} wish - see the panel
   */
  everything(wish) {
    const { place, region, classId } = this.state("place", "region", "classId");
    if (classId === null) {
      this.say("Add a class first: a figure needs one.");
      return null;
    }
    const settings = {
      mode: "raw",
      points_per_side: wish.points,
      pred_iou_thresh: wish.quality,
      stability_score_thresh: wish.stability,
      min_mask_region_area: wish.area,
    };
    const state = region ? { settings, rectangle: rectangleOf(region) } : { settings };
    const where = region ? "the region" : place.name;
    return this.run(`Applying the model to ${where}`, place, state, async (answer) => {
      const found = figuresOf(answer).sort((one, other) => other.about.area - one.about.area);
      const add = found.filter(({ about }) => (about.area ?? Infinity) >= wish.area)
        .map(({ shape }) => ({ ...shape, class_id: classId, nn_created: true, nn_updated: true }));
      if (!add.length) {
        this.say(`Nothing was found in ${where} with these settings. ${adviceFor(wish, found)}`);
        return;
      }
      this.store.set({ coloring: "figure" });
      const saved = await this.changes.make(place, `Apply model (${count(add.length, "figure")})`, { add });
      if (saved) this.speak(`${count(add.length, "figure")} found.`);
    });
  }

  /**
   * Put masks or polygons in the place of boxes of the open picture.
   * @param {object[]} all - figures; those that are locked stay
   * @param {"bitmap"|"polygon"} geometry
   */
  inBoxes(all, geometry, largestOnly = false) {
    const { place, locked } = this.state("place", "locked");
    const boxes = all.filter((box) => !isLocked({ locked }, box));
    if (!boxes.length) {
      this.say("What is locked stays a box: unlock it first.");
      return null;
    }
    const settings = {
      mode: "bbox",
      bbox_coordinates: boxes.map(sidesOf),
      output_geometry: geometry,
      // An object has one figure on a frame.
      largest_only: largestOnly || (geometry === "polygon" && place.places !== null),
      ...(geometry === "polygon" ? { island_area: SPECK_PX } : {}),
    };
    const words = `Segmenting ${boxes.length === 1 ? "the box" : count(boxes.length, "box", "boxes")}`;
    return this.run(words, place, { settings }, async (answer) => {
      const found = figuresOf(answer);
      const filled = boxes.filter((_, index) => found.some(({ about }) => about.prompt === index));
      // One that was deleted meanwhile is not asked for any more.
      const wanted = filled.filter((box) => this.isThere(place, box));
      const partsOf = (number) => found.filter(({ about }) => about.prompt === number).length;
      const add = found
        .filter(({ about }) => wanted.includes(boxes[about.prompt]))
        .map(({ shape, about: { prompt } }) =>
          ({ ...shape, ...takenFrom(boxes[prompt], partsOf(prompt) === 1) }));
      const left = boxes.length - filled.length;
      if (add.length) {
        const name = geometry === "polygon" ? "polygon" : "mask";
        const what = `${count(wanted.length, "box", "boxes")} to ${name}${wanted.length === 1 ? "" : "s"}`;
        const saved = await this.changes.make(place, what, { remove: wanted.map(({ id }) => id), add });
        if (saved) this.speak(`${what}: done.`);
      }
      if (left) {
        const [which, stay] = left === 1 ? ["One box", "It stays a box"] : [`${left} boxes`, "They stay boxes"];
        this.say(`${which}: the model finds nothing inside. ${stay}.`);
      }
    });
  }

  /** Whether a figure is still on a place, as far as this page can see. */
  isThere(place, figure) {
    const { place: open, figures } = this.state("place", "figures");
    return open?.key !== place.key || figures.some(({ id }) => id === figure.id);
  }

  /** Give up what runs. */
  cancel() {
    this.flight?.abort();
  }

  async run(words, place, state, take) {
    if (this.store.get("job")) {
      this.say("One request runs already: wait for it, or cancel it.");
      return;
    }
    this.say(null);
    this.flight = new AbortController();
    const { signal } = this.flight;
    const name = newRequestId();
    this.store.set({ job: { words, since: performance.now(), cancel: () => this.cancel() } });
    this.speak(`${words}.`);
    try {
      const answer = await this.app.apply(place, state, name, signal);
      if (!signal.aborted) {
        this.store.set({ job: { ...this.store.get("job"), words: "Saving", cancel: null } });
        await take(answer);
      }
    } catch (error) {
      const again = () => this.run(words, place, state, take);
      if (!signal.aborted) this.say(error.message, error.requestId ?? name, again);
    }
    this.store.set({ job: null });
    if (signal.aborted) this.speak("Cancelled.");
  }

  state(...names) {
    return Object.fromEntries(names.map((name) => [name, this.store.get(name)]));
  }
}

/** What an answer holds: `shape` as a change takes it, and what is said `about` it. */
function figuresOf({ annotation: { objects }, found }) {
  return objects.map(({ geometryType, bitmap, points }, index) => ({
    shape: { geometry_type: geometryType, geometry: bitmap ? { bitmap } : { points } },
    about: found[index] ?? {},
  }));
}

/** What to change when nothing was found, in the words of the panel. */
function adviceFor({ points, quality, stability, area }, found) {
  if (found.length) {
    const largest = found[0].about.area;
    return `The largest mask has ${largest} px, and "Least area" is ${area} px.`;
  }
  return `Lower "Least stability" (${stability}) or "Least predicted IoU" (${quality}), `
    + `or raise "Points a side" (${points}).`;
}

/**
 * What a figure that was made of a box has of it; it is a person's, as after the Smart Tool.
 * @param {boolean} whole - it is all that was found in the box: asked again, the box gives it again
 */
function takenFrom(box, whole) {
  const { x0, y0, x1, y1 } = cornersOf(box.geometry.points);
  const prompts = { crop: [{ x: x0, y: y0 }, { x: x1, y: y1 }], points: [] };
  return {
    class_id: box.classId,
    object_id: box.objectId,
    description: box.description,
    prompt: whole ? keptPrompts(prompts) : null,
    nn_created: true,
    nn_updated: false,
  };
}

/** A box as the settings of the app take it: [top, left, bottom, right], all inside. */
function sidesOf({ geometry }) {
  const { x0, y0, x1, y1 } = cornersOf(geometry.points);
  return [y0, x0, y1, x1];
}

/** First and last pixel as the platform's rectangle. */
export function rectangleOf([from, to]) {
  return { points: { exterior: [[from.x, from.y], [to.x, to.y]], interior: [] } };
}
