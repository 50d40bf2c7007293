// The Serve drawer: which model answers, on which device, and how it is going. The work goes on
// beside it.

import { element, iconButton } from "../dom.js";
import { keep, recall } from "../remembering.js";
import { sizeOf } from "../words.js";

const STATES = {
  stopped: "No model is served",
  loading: "Loading",
  ready: "Ready",
  failed: "Failed",
};
const FAST_MS = 700;
const SLOW_MS = 5000;

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLButtonElement} chip - shows the state in the page's head, opens the drawer
 * @param {(words: string, requestId?: string) => void} say - over the picture
 * @returns {{open: () => void, refresh: () => Promise<void>, change: (model: string, device?:
 *   string) => Promise<void>}} opens the drawer; asks the app anew; serves another model, on the
 *   device that serves now if none is named
 */
export function mountServe(dialog, chip, store, app, say) {
  const panel = build(dialog);
  let timer = null;

  const poll = async () => {
    clearTimeout(timer);
    try {
      const serve = await app.serveOptions();
      const deployed = serve.state === "ready" ? serve.deployed : null;
      store.set({ serve, serveError: null, modelKey: deployed && JSON.stringify(deployed) });
      if (deployed) rememberServed(store, deployed);
      if (dialog.open) panel.memory.textContent = memoryWords(await app.metrics().catch(() => ""));
    } catch (error) {
      store.set({ serve: null, serveError: error.message });
    }
    const busy = dialog.open || store.get("serve")?.state === "loading";
    timer = setTimeout(poll, busy ? FAST_MS : SLOW_MS);
  };

  const run = async (action) => {
    panel.problem.hidden = true;
    panel.busy = true;
    panel.serve.disabled = true;
    panel.stop.disabled = true;
    setTimeout(poll, 100);
    try {
      await action();
    } catch (error) {
      const id = error.requestId ? ` (request ${error.requestId})` : "";
      panel.problem.textContent = `${error.message}${id}`;
      panel.problem.hidden = false;
      if (!dialog.open) say(error.message, error.requestId);
    }
    panel.busy = false;
    await poll();
  };

  const serve = (name, device) => run(async () => {
    await app.serve(name, device);
    store.set({ deploys: store.get("deploys") + 1 });
  });
  const change = (name, device) =>
    serve(name, device ?? store.get("serve")?.deployed?.device ?? panel.device.value ?? null);

  panel.serve.addEventListener("click", () => {
    const name = panel.models.querySelector("input:checked")?.value;
    if (name) serve(name, panel.device.value || null);
  });
  panel.stop.addEventListener("click", () => run(() => app.stop()));

  const open = () => {
    // Over a grid that has the page for itself, or beside the picture.
    if (!dialog.open && document.querySelector("dialog:modal")) dialog.showModal();
    else if (!dialog.open) dialog.show();
    chip.setAttribute("aria-expanded", true);
    panel.models.querySelector("tr:has(:checked)")?.scrollIntoView({ block: "nearest" });
    poll();
  };
  chip.addEventListener("click", () => (dialog.open ? dialog.close() : open()));
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape") dialog.close();
  });
  dialog.addEventListener("close", () => {
    chip.setAttribute("aria-expanded", false);
    // Back to the work: Space saves again.
    document.querySelector("#canvas").focus();
  });

  store.watch(["serve", "serveError"], (state) => {
    showChip(chip, state);
    showPanel(panel, state);
  });
  store.watch(["latencyMs"], ({ latencyMs }) => {
    panel.latency.textContent = latencyMs === null ? "none yet" : `${Math.round(latencyMs)} ms`;
  });
  poll();
  return { open, refresh: poll, change };
}

const SERVED = "sam2-serving.served";

/** What was served last, so that it can be served again when the app was started anew. */
export const servedBefore = () => recall(SERVED);

function rememberServed(store, { model, device }) {
  const before = store.get("served");
  if (before?.model === model && before?.device === device) return;
  store.set({ served: { model, device } });
  keep(SERVED, { model, device });
}

function build(dialog) {
  const fact = (name) => {
    const value = element("dd", {}, "–");
    facts.append(element("div", {}, element("dt", {}, name), value));
    return value;
  };
  const facts = element("dl.facts", {});
  const panel = {
    busy: false,
    state: fact("State"),
    model: fact("Model"),
    onDevice: fact("Device"),
    latency: fact("Last click"),
    memory: fact("Memory"),
    models: element("table.models", {}),
    device: element("select", { id: "device" }),
    serve: element("button.primary", { type: "button" }, "Serve"),
    stop: element("button", { type: "button" }, "Stop"),
    progress: element("div.progress", { hidden: true }),
    bar: element("progress", { "aria-label": "Progress" }),
    step: element("span", {}),
    problem: element("p.problem", { role: "alert", hidden: true }),
  };
  panel.progress.append(panel.bar, panel.step);
  dialog.append(
    element(
      "header",
      {},
      element("h2", { id: "serve-title" }, "Serve a model"),
      iconButton("cross", "Close", () => dialog.close()),
    ),
    facts,
    element("div.scroll", {}, panel.models),
    panel.progress,
    panel.problem,
    element(
      "footer",
      {},
      element("label", { htmlFor: "device" }, "Device"),
      panel.device,
      element("span.space", {}),
      panel.stop,
      panel.serve,
    ),
  );
  return panel;
}

function showChip(chip, { serve, serveError }) {
  const state = serve ? serve.state : "away";
  chip.dataset.state = state;
  const { device } = serve?.deployed ?? {};
  const words = {
    away: serveError ? "The app is not reached" : "Looking for the app…",
    ready: device ? `${STATES.ready} · ${device.toUpperCase()}` : STATES.ready,
  };
  chip.querySelector(".words").textContent = words[state] ?? STATES[state] ?? state;
  chip.title = serveError ?? "Choose and serve a model";
}

function showPanel(panel, { serve, serveError }) {
  const loading = serve?.state === "loading";
  panel.state.textContent = serve ? STATES[serve.state] ?? serve.state : serveError ?? "–";
  panel.state.dataset.state = serve?.state ?? "away";
  panel.model.textContent = serve?.deployed?.model ?? "–";
  panel.onDevice.textContent = serve?.deployed?.device?.toUpperCase() ?? "–";
  const { input_size: side, numeric_path: path } = serve?.deployed ?? {};
  panel.onDevice.title = serve?.deployed ? `input ${side} px, numeric path ${path}` : "";
  panel.serve.disabled = !serve || loading || panel.busy;
  panel.stop.disabled = !serve?.deployed || loading || panel.busy;
  showProgress(panel, loading ? serve.progress ?? { message: "Loading the model" } : null);
  if (serve?.state === "failed" && serve.error) {
    panel.problem.textContent = serve.error;
    panel.problem.hidden = false;
  }
  if (serve) {
    showModels(panel.models, serve);
    showDevices(panel.device, serve);
  }
}

/** Memory that is used, of the accelerator or else of the app's process, read from its metrics. */
function memoryWords(metrics) {
  const bytes = (name) => Number(metrics.match(new RegExp(`^${name} (\\S+)$`, "m"))?.[1] ?? NaN);
  const ofDevice = (kind) => bytes(`sam2_serving_device_memory_bytes\\{kind="${kind}"\\}`);
  if (ofDevice("total")) return `${sizeOf(ofDevice("reserved"))} of ${sizeOf(ofDevice("total"))}`;
  const process = bytes("process_resident_memory_bytes");
  return process ? sizeOf(process) : "–";
}

function showProgress(panel, progress) {
  panel.progress.hidden = !progress;
  if (!progress) return;
  const { message, current, total } = progress;
  panel.step.textContent = message;
  if (total) {
    panel.bar.max = total;
    panel.bar.value = current ?? 0;
  } else {
    panel.bar.removeAttribute("value");
  }
}

function showModels(table, serve) {
  const wanted = JSON.stringify(serve.models);
  if (table.dataset.models !== wanted) {
    table.dataset.models = wanted;
    buildModels(table, serve.models, serve.deployed?.model);
  }
  for (const row of table.querySelectorAll("tbody tr")) {
    row.classList.toggle("served", row.dataset.model === serve.deployed?.model);
  }
}

function buildModels(table, models, served) {
  const columns = [...new Set(models.flatMap((model) => Object.keys(model.columns)))];
  const chosen = served ?? models.find(({ name }) => /nano/i.test(name))?.name ?? models[0]?.name;
  const row = (model) => {
    const radio = element("input", {
      type: "radio", name: "model", value: model.name, checked: model.name === chosen,
    });
    const name = element("label", {}, radio, element("span", {}, model.name));
    if (model.note) name.append(element("small", {}, model.note));
    const cells = columns.map((column) => element("td", {}, model.columns[column] || "–"));
    const header = element("th", { scope: "row" }, name);
    // The whole row chooses; keyboards use the radio button.
    const choose = () => { radio.checked = true; };
    return element("tr", { data: { model: model.name }, on: { click: choose } }, header, ...cells);
  };
  const heads = ["Model", ...columns].map((text) => element("th", { scope: "col" }, text));
  table.replaceChildren(
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...models.map(row)),
  );
}

function showDevices(select, { devices, deployed }) {
  const wanted = devices.map(({ id }) => id).join();
  if (select.dataset.devices === wanted) return;
  select.dataset.devices = wanted;
  select.replaceChildren(
    ...devices.map(({ id, title }) => element("option", { value: id }, title)),
  );
  if (deployed && devices.some(({ id }) => id === deployed.device)) select.value = deployed.device;
}
