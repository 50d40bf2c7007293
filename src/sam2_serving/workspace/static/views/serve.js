// The Serve panel: which model answers, on which device, and how it is going.

import { element, iconButton } from "../dom.js";

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
 * @param {HTMLButtonElement} chip - shows the state in the page's head, opens the panel
 * @returns {{open: () => void, refresh: () => Promise<void>}} opens the panel; asks the app anew
 */
export function mountServe(dialog, chip, store, app) {
  const panel = build(dialog);
  let timer = null;

  const poll = async () => {
    clearTimeout(timer);
    try {
      const serve = await app.serveOptions();
      const deployed = serve.state === "ready" ? serve.deployed : null;
      store.set({ serve, serveError: null, modelKey: deployed && JSON.stringify(deployed) });
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
    }
    panel.busy = false;
    await poll();
  };

  panel.serve.addEventListener("click", () => {
    const name = panel.models.querySelector("input:checked")?.value;
    if (!name) return;
    run(async () => {
      await app.serve(name, panel.device.value || null);
      store.set({ deploys: store.get("deploys") + 1 });
    });
  });
  panel.stop.addEventListener("click", () => run(() => app.stop()));

  const open = () => {
    if (!dialog.open) dialog.showModal();
    panel.models.querySelector("tr:has(:checked)")?.scrollIntoView({ block: "nearest" });
    poll();
  };
  chip.addEventListener("click", open);
  // Back to the work: Space saves again.
  dialog.addEventListener("close", () => document.querySelector("#canvas").focus());

  store.watch(["serve", "serveError"], (state) => {
    showChip(chip, state);
    showPanel(panel, state);
  });
  store.watch(["latencyMs"], ({ latencyMs }) => {
    panel.latency.textContent = latencyMs === null ? "none yet" : `${Math.round(latencyMs)} ms`;
  });
  poll();
  return { open, refresh: poll };
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
    latency: fact("Last answer"),
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
  dialog.addEventListener("click", (event) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    const { clientX: x, clientY: y } = event;
    // A click that the keyboard makes has no place: (0, 0) is outside, but its target is inside.
    const outside = x < left || x > right || y < top || y > bottom;
    if (event.target === dialog && outside) dialog.close();
  });
  return panel;
}

function showChip(chip, { serve, serveError }) {
  const state = serve ? serve.state : "away";
  chip.dataset.state = state;
  const { model, device } = serve?.deployed ?? {};
  const words = {
    away: serveError ? "The app is not reached" : "Looking for the app…",
    ready: model ? `${model} · ${device?.toUpperCase()}` : STATES.ready,
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
