// Makes figures of what a person draws: of a box at once, of the Smart Tool's object when it is
// finished.

import { changeFigure, getFigures, saveFigure } from "./api.js";
import { reload } from "./views/figures.js";

export class Saving {
  /**
   * @param {SmartTool} smartTool
   * @param {{changes: Changes, say: Function, speak: Function}} tools
   */
  constructor(store, smartTool, tools) {
    Object.assign(this, { store, smartTool, ...tools });
    this.busy = false;
  }

  /** Whose the next figure is; null, and said: there is no class yet. */
  get owner() {
    const { id: object_id = null, classId: class_id } =
      this.store.get("joins") ?? { classId: this.store.get("classId") };
    if (class_id !== null) return { class_id, object_id };
    this.say("Add a class first: a figure needs one.");
    return null;
  }

  /** Save a box, inclusive, as a figure. */
  box([from, to]) {
    const { owner } = this;
    if (!owner) return;
    const exterior = [[from.x, from.y], [to.x, to.y]];
    const geometry = { points: { exterior, interior: [] } };
    const box = { ...owner, geometry_type: "rectangle", geometry };
    this.changes.make(this.store.get("place"), "Box", { add: [box] });
    this.store.set({ joins: null });
  }

  /** Save the object of the Smart Tool. */
  async object() {
    if (!this.smartTool.active || this.busy) return;
    const owner = this.smartTool.edited ? {} : this.owner;
    if (!owner) return;
    this.busy = true;
    const saved = await this.tried("Not saved", () => this.save(owner));
    this.busy = false;
    if (!saved || this.store.get("place").key !== saved.key) return;
    const shown = await this.tried("Saved, but the list is not up to date", async () => {
      await reload(this.store);
      return true;
    });
    if (shown) this.speak("The figure is saved.");
  }

  /** @returns {Promise<object|null>} the place that the figure was saved on, if it was */
  async save(owner) {
    const { smartTool } = this;
    const place = this.store.get("place");
    const edited = smartTool.edited?.figure;
    const object = await smartTool.finished();
    if (this.store.get("place").key !== place.key) return null; // the object waits there
    const { state, prompts } = smartTool;
    if (!object) {
      if (state === "edit") this.say("Nothing is changed yet: click first.");
      else if (state !== "error") this.say("There is no mask to save yet.");
      return null;
    }
    const saved = edited
      ? await this.change(edited, place, object)
      : await saveFigure(place, { ...owner, ...object });
    const { id, objectId } = saved;
    smartTool.saved(place, prompts);
    // Clicks that came meanwhile go on from what was saved: nobody else has changed it.
    if (smartTool.edited?.figure.id === id) smartTool.edited.figure = saved;
    if (edited) this.changes.forget(place);
    else this.changes.saved(place, id);
    this.store.set({ followed: objectId, joins: null });
    return place;
  }

  /** Save an edit. Tracking may have put another figure in the place of the one that was edited. */
  async change(edited, place, object) {
    const { id, classId: class_id, objectId: object_id, description, updatedAt: based_on } = edited;
    const content = { class_id, object_id, description, ...object };
    try {
      return await changeFigure(id, { ...content, based_on });
    } catch (error) {
      if (error.status === 409) await this.meet(place, id);
      if (error.status !== 404) throw error;
    }
    const instead = (await getFigures(place))
      .find(({ objectId, nnUpdated }) => objectId !== null && objectId === object_id && nnUpdated);
    return instead ? changeFigure(instead.id, content) : saveFigure(place, content);
  }

  /** Somebody else changed the figure meanwhile: the person decides, and may save all the same. */
  async meet(place, id) {
    const now = (await getFigures(place)).find((one) => one.id === id);
    const { edited } = this.smartTool;
    if (now && edited?.figure.id === id) edited.figure = now;
    throw new Error("somebody else changed this figure meanwhile. Esc keeps theirs; save again to "
      + "put yours in its place.");
  }

  /** What some work gives, or null; why it failed is said. */
  async tried(problem, work) {
    try {
      return await work();
    } catch (error) {
      this.say(`${problem}: ${error.message}`, error.requestId);
      return null;
    }
  }
}
