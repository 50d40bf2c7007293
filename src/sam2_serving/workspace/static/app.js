// Starts the page: the session, the views, the address bar.

import { App, getClasses, getMedia, getSession } from "./api.js";
import { Stage } from "./canvas.js";
import { store } from "./store.js";
import { closeTimeline } from "./timeline.js";
import { mountClasses } from "./views/classes.js";
import { mountFigures } from "./views/figures.js";
import { mountImage } from "./views/image.js";
import { mountMedia } from "./views/media.js";
import { mountServe } from "./views/serve.js";

const byId = (id) => document.getElementById(id);

/** Say something to people who cannot see the stage. */
function speak(words) {
  byId("spoken").textContent = words;
}

/** Open the image that the address names (`#image=7`), else the first one. */
function openAddressed() {
  const images = store.get("datasets").flatMap((dataset) => dataset.images);
  const wanted = Number(new URLSearchParams(location.hash.slice(1)).get("image"));
  const image = images.find(({ id }) => id === wanted) ?? images[0] ?? null;
  if (image?.id !== store.get("image")?.id) store.set({ image });
}

async function start() {
  const [session, media, classes] = await Promise.all([getSession(), getMedia(), getClasses()]);
  store.set({ session, datasets: media.datasets, classes, classId: classes[0]?.id ?? null });
  const app = new App(session.session_token);
  const stage = new Stage(byId("canvas"));
  closeTimeline(byId("timeline"));

  mountMedia(byId("media"), store);
  mountClasses(byId("classes"), store);
  mountFigures(byId("figures"), store, speak);
  const serve = mountServe(byId("serve"), byId("model-status"), store, app);
  mountImage(byId("stage"), stage, store, app, { speak, serve });

  store.watch(["image"], ({ image }) => {
    if (image) history.replaceState(null, "", `#image=${image.id}`);
    byId("where").textContent = image
      ? `${image.name} · ${image.width} × ${image.height}`
      : session.project;
  });
  addEventListener("hashchange", openAddressed);
  openAddressed();
}

start().catch((error) => {
  const empty = byId("empty");
  empty.hidden = false;
  empty.textContent = error.message;
});
