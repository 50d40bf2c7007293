// The quick choice of a model, in the page's head: on the device that serves now, in mid-work.

import { element } from "../dom.js";

/**
 * @param {HTMLSelectElement} select
 * @param {{change: (model: string) => void}} serve - the Serve panel: serves another model
 */
export function mountModelChoice(select, store, serve) {
  select.addEventListener("change", () => serve.change(select.value));
  store.watch(["serve"], ({ serve: now }) => {
    const names = now?.models.map(({ name }) => name) ?? [];
    const served = now?.deployed?.model ?? null;
    // A checkpoint of one's own is served, but not of the table.
    const all = served && !names.includes(served) ? [served, ...names] : names;
    const wanted = JSON.stringify(all);
    if (select.dataset.models !== wanted) {
      select.dataset.models = wanted;
      const none = element("option", { value: "", disabled: true }, "No model");
      select.replaceChildren(none, ...all.map((name) => element("option", { value: name }, name)));
    }
    select.disabled = !now || now.state === "loading";
    if (now?.state !== "loading") select.value = served ?? "";
  });
}
