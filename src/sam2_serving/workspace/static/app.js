// Starts the page: the session, the views, the address bar.

import { App, getClasses, getMedia, getSession } from "./api.js";
import { Stage } from "./canvas.js";
import { Changes } from "./changes.js";
import { icon } from "./dom.js";
import {
  addressOf, addressed, leftPlaces, mediaOf, openPlace, rememberPlaces,
} from "./places.js";
import { Following } from "./following.js";
import { rememberHabits } from "./habits.js";
import { Player } from "./player.js";
import { Reel } from "./reel.js";
import { Resuming } from "./resuming.js";
import { Segmenting } from "./segmenting.js";
import { store } from "./store.js";
import { mountTimeline } from "./timeline.js";
import { Tracking } from "./tracking.js";
import { mountApply, mountBoxes } from "./views/apply.js";
import { mountBatch } from "./views/batch.js";
import { mountClasses } from "./views/classes.js";
import { markDone, mountDone } from "./views/done.js";
import { mountExport } from "./views/export.js";
import { mountFigures } from "./views/figures.js";
import { mountHelp } from "./views/help.js";
import { mountImport } from "./views/import.js";
import { mountImage } from "./views/image.js";
import { listMedia, mountMedia } from "./views/media.js";
import { figureMenu } from "./views/menu.js";
import { mountModelChoice } from "./views/model_choice.js";
import { mountModes } from "./views/modes.js";
import { Notices } from "./views/notices.js";
import { mountServe, servedBefore } from "./views/serve.js";
import { mountPlanes } from "./views/planes.js";
import { mountProbing } from "./views/probing.js";
import { mountSlices } from "./views/slices.js";
import { mountTheme } from "./views/theme.js";
import { mountUnderway } from "./views/underway.js";

const byId = (id) => document.getElementById(id);

/** Say something to people who cannot see the stage. */
function speak(words) {
  byId("spoken").textContent = words;
}

const ADDRESS_MS = 300; // browsers bear only so many changes of the address in a long time,
const AT_ONCE = 30; // but some more in a short one
let spare = AT_ONCE;
let written = 0;
let writing = null;

/** Say in the address bar what is open: at once, or while something is dragged for long, soon. */
function writeAddress(address) {
  clearTimeout(writing);
  const now = performance.now();
  spare = Math.min(spare + (now - written) / ADDRESS_MS, AT_ONCE);
  written = now;
  const write = () => {
    spare -= 1;
    history.replaceState(null, "", address);
  };
  if (spare >= 1) write();
  else writing = setTimeout(write, ADDRESS_MS);
}

/** Open the place that the address names (`#image=7`, `#video=3&frame=12`), else the first medium. */
function openAddressed({ address = "" } = {}) {
  const place = store.get("place");
  if (place && addressOf(place) === location.hash) return;
  const media = store.get("datasets").flatMap(mediaOf);
  const { medium, at } = addressed(location.hash || address, media) ?? { medium: media[0], at: {} };
  if (medium) openPlace(store, medium, at);
}

async function start() {
  mountTheme(byId("theme"));
  byId("open-help").append(icon("keys"));
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address names a place
    byId("canvas").focus();
  });
  const [session, media, classes] = await Promise.all([getSession(), getMedia(), getClasses()]);
  store.set({ session, datasets: media.datasets, classes, classId: classes[0]?.id ?? null });
  store.set({ served: servedBefore() });
  rememberHabits(store);
  const app = new App(session.session_token);
  const stage = new Stage(byId("canvas"));

  mountMedia(byId("media"), store);
  mountSlices(byId("slices"), store);
  mountDone(byId("done"), store, (...what) => notices.say(...what));
  const notices = new Notices(byId("stage"), speak);
  const say = (...what) => notices.say(...what);
  const serve = mountServe(byId("serve"), byId("model-status"), store, app, say);
  mountModelChoice(byId("model"), store, serve);
  const reel = new Reel();
  const tracking = new Tracking(store, speak);
  let view = null;
  const track = () => tracking.start(view.smartTool.active);
  const changes = new Changes(store, say, speak, () => view?.showSteps());
  mountClasses(byId("classes"), store, changes);
  const segmenting = new Segmenting(store, app, { changes, say, speak });
  const edit = (figure) => view.edit(figure);
  const goTo = (figure) => view.goTo(figure);
  const openMenu = (figure, at) => menu.open(figure, at);
  const help = mountHelp(byId("help"), byId("open-help"));
  const tools = { notices, speak, changes, openMenu, serve, reel, track, help, done: () => markDone(store, say, speak) };
  view = mountImage(byId("stage"), stage, store, app, tools);
  mountPlanes(byId("planes"), store, stage);
  mountProbing(byId("stage"), store, stage, { step: (count) => view.step(count) });
  mountModes(byId("modes"), byId("zoom"), store);
  mountApply(byId("apply"), store, segmenting);
  mountBoxes(byId("boxes"), store, segmenting);
  mountUnderway(byId("stage"), store, changes);
  mountTimeline(byId("frames"), store, tracking, { track, changes, say, speak });
  new Player(store, reel);
  const { remove } = mountFigures(byId("figures"), store, changes, { edit, openMenu, goTo });
  const menu = figureMenu(store, changes, segmenting, { edit, remove, goTo });

  const resuming = new Resuming(store, () => ({
    ...view.kept, steps: changes.history, places: leftPlaces(),
    address: store.get("place") ? addressOf(store.get("place")) : "",
  }));
  const last = await resuming.begin();
  resuming.choose(last);
  rememberPlaces(last.places);
  changes.restore(last.steps);
  view.restore(last);

  const batch = mountBatch(byId("batch"), byId("open-batch"), store, app, { speak, serve });

  mountImport(byId("import"), byId("open-import"), store, { speak, changes });
  mountExport(byId("export"), byId("open-export"), store, speak);

  store.watch(["place", "playing"], ({ place, playing }) => {
    if (place && !playing) writeAddress(addressOf(place));
    byId("where").textContent = place
      ? `${place.name} · ${place.width} × ${place.height}`
      : session.project;
  });
  addEventListener("hashchange", () => openAddressed());
  addEventListener("beforeunload", (event) => {
    // The browser asks whether to leave.
    const begun = !resuming.kept && view.smartTool.unsaved;
    if (begun || changes.unsaved || batch.unsaved) event.preventDefault();
  });
  openAddressed(last);
  new Following(store, async (away) => {
    if (away) await listMedia(store);
    if (!store.get("playing")) await changes.follow();
  });
  store.watch(["place", "tool", "classId", "region", "begun", "figures", "classes"], () => resuming.note());
}

start().catch((error) => {
  const empty = byId("empty");
  empty.hidden = false;
  empty.textContent = error.message;
});
