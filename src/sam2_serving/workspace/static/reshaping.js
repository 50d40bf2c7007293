// A saved box that is moved and resized: each drag is one change, saved at once.

import { cornersOf } from "./shapes.js";

export class Reshaping {
  /** @param {Changes} changes */
  constructor(store, changes) {
    // A change puts a new figure in the place of the old one, and undo the old one back: `ids` are
    // all that the box has been.
    Object.assign(this, { store, changes, ids: new Set(), saving: null });
    store.watch(["place"], () => this.end());
    store.watch(["figures", "tool"], () => {
      if (this.active && !this.figure && !this.saving) this.end();
    });
  }

  get active() {
    return this.store.get("tool") === "reshape";
  }

  /** The figure as it is saved, or null. */
  get figure() {
    return this.store.get("figures").find(({ id }) => this.ids.has(id)) ?? null;
  }

  /** First and last pixel of the box; null: there is none. */
  get crop() {
    if (this.saving) return this.saving;
    const points = this.active && this.figure?.geometry.points;
    if (!points) return null;
    const { x0, y0, x1, y1 } = cornersOf(points);
    return [{ x: x0, y: y0 }, { x: x1, y: y1 }];
  }

  begin(figure) {
    this.ids = new Set([figure.id]);
    this.store.set({ tool: "reshape" });
  }

  end() {
    if (this.active) this.store.set({ tool: "smart" });
  }

  /** Save the box with other corners. */
  async change(crop) {
    const { figure } = this;
    if (!figure || this.saving) return;
    const exterior = crop.map(({ x, y }) => [x, y]);
    const box = {
      class_id: figure.classId,
      object_id: figure.objectId ?? null,
      geometry_type: "rectangle",
      geometry: { points: { exterior, interior: [] } },
      description: figure.description ?? "",
    };
    this.saving = crop;
    const wish = { remove: [figure.id], add: [box] };
    const { ids } = this;
    const step = await this.changes.make(this.store.get("place"), "Box moved", wish, (added) => {
      for (const id of added) ids.add(id);
    });
    this.saving = null;
    if (!step || !this.figure) this.end();
  }
}
