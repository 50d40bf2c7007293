// HTTP: the workspace's own routes, and the app behind `/net/<session token>/`.

const UNREACHED = "The workspace does not answer. Is it still running?";

/** A request that failed, in words; `requestId` names it in the app's log. */
export class RequestError extends Error {
  constructor(message, status, requestId) {
    super(message);
    this.status = status;
    this.requestId = requestId;
  }
}

async function request(method, path, body, headers = {}, signal = undefined) {
  const json = body !== undefined && !(body instanceof FormData);
  const answer = await reach(path, {
    method,
    headers: json ? { "Content-Type": "application/json", ...headers } : headers,
    body: json ? JSON.stringify(body) : body,
    signal,
  });
  const content = await answer.json().catch(() => null);
  if (!answer.ok) {
    const id = content?.request_id ?? answer.headers.get("X-Request-Id") ?? null;
    throw new RequestError(wordsOf(content, answer.status), answer.status, id);
  }
  return content;
}

function wordsOf(content, status) {
  for (const words of [content?.message, content?.error, content?.detail?.message]) {
    if (typeof words === "string" && words) return words;
    if (typeof words?.message === "string") return words.message;
  }
  return `The server answered with status ${status}.`;
}

export const getSession = () => request("GET", "/workspace/api/session");
/** @returns {Promise<{revision: string}>} another text after every change of anything */
export const getRevision = () => request("GET", "/workspace/api/revision");
export const getMedia = () => request("GET", "/workspace/api/media");
export const getClasses = () => request("GET", "/workspace/api/classes");
export const addClass = (key, title, color) =>
  request("POST", "/workspace/api/classes", { key, title, color });
/** @param {{title?: string, color?: string}} news */
export const alterClass = (key, id, news) =>
  request("PUT", `/workspace/api/classes/${id}`, { key, ...news });
export const orderClasses = (key, ids) => request("PUT", "/workspace/api/classes/order", { key, ids });
/** @returns {Promise<{figures: number, objects: number, media: number}>} what is of a class */
export const getClassUses = (id) => request("GET", `/workspace/api/classes/${id}/uses`);
/** @param {number} figures - so many go with it */
export const deleteClass = (key, id, figures) =>
  request("DELETE", `/workspace/api/classes/${id}?${new URLSearchParams({ key, figures })}`);
/** Mark a medium as done, or not. */
export const setDone = ({ kind, id }, done) => request("PUT", `/workspace/api/${kind}s/${id}/done`, { done });
export const getFigures = (place) => request("GET", place.figures);
export const saveFigure = (place, figure) => request("POST", place.figures, figure);
export const changeFigure = (figureId, figure) =>
  request("PUT", `/workspace/api/figures/${figureId}`, figure);
/** How many figures each place of the medium holds; an image is its only place. */
export const getPlaces = async (place) => (place.places ? request("GET", place.places) : {});
/**
 * The objects of a video or a volume, and on which frames (`frames`) or slices (`slices`, by plane)
 * they have figures; other media have none.
 */
export async function getObjects({ kind, id }) {
  if (kind === "video") return request("GET", `/workspace/api/videos/${id}/objects`);
  if (kind !== "volume") return [];
  const objects = await request("GET", `/workspace/api/volumes/${id}/objects`);
  return objects.map((object) => ({ ...object, frames: [] }));
}
/** @returns {Promise<number[]>} ids of a video's object's figures, from a frame on */
export const getFiguresOfObject = ({ id }, objectId, first) =>
  request("GET", `/workspace/api/videos/${id}/objects/${objectId}/figures?first=${first}`);
export const getTracks = ({ id }) => request("GET", `/workspace/api/videos/${id}/tracks`);
/** @param {{frame, frames, direction, objectIds}} wish */
export const startTrack = ({ id }, wish) =>
  request("POST", `/workspace/api/videos/${id}/track`, wish);
export const stopTrack = (trackId) =>
  request("POST", `/workspace/api/tracks/${encodeURIComponent(trackId)}/stop`);
/**
 * Take, bring and classify figures in one step: all of it or nothing.
 * @param {{key: string, remove: number[], add: object[], classify: object[]}} change - sent again
 *   under the same key, it is not done twice
 * @returns {Promise<{added: number[]}>} ids of the figures that came
 */
export const makeChange = (change) => request("POST", "/workspace/api/changes", change);
export const undoChange = (key) => request("POST", `/workspace/api/changes/${key}/undo`);
export const redoChange = (key) => request("POST", `/workspace/api/changes/${key}/redo`);
export const deleteFigure = (figureId) => request("DELETE", `/workspace/api/figures/${figureId}`);

/** One's own exports, the newest first. */
export const getExports = () => request("GET", "/workspace/api/exports");
/** @param {{form: string, dataset_id: number|null, media: boolean}} wish */
export const startExport = (wish) => request("POST", "/workspace/api/exports", wish);
/** Cancel an export, or take a finished one away. */
export const removeExport = (key) => request("DELETE", `/workspace/api/exports/${key}`);
/** Where a finished export is downloaded from. */
export const exportFile = (key) => `/workspace/api/exports/${key}/file`;

/**
 * Send a file into the media folder.
 * @param {{path: string, dataset_id?: number, folder?: string}} where
 * @param {(bytes: number) => void} progress - `fetch` cannot tell how much is sent
 * @returns {Promise<{path: string, new: boolean}>}
 */
export const sendFile = (file, where, progress, signal) => send("imports", file, where, progress, signal);

/**
 * Send a zip of media with their figures.
 * @param {{key: string, dataset_id?: number, folder?: string}} where - `key` names the change that
 *   brings the figures
 * @returns {Promise<{media: number, known: number, figures: number, warnings: string[]}>}
 */
export const sendAnnotated = (zip, where, progress, signal) =>
  send("imports/annotated", zip, where, progress, signal);

function send(route, file, where, progress, signal) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", `/workspace/api/${route}?${new URLSearchParams(where)}`);
    call.responseType = "json";
    call.upload.onprogress = ({ loaded }) => progress(loaded);
    call.onload = () => {
      if (call.status < 400) resolve(call.response);
      else reject(new RequestError(wordsOf(call.response, call.status), call.status, null));
    };
    call.onerror = () => reject(new RequestError(UNREACHED, 0, null));
    call.onabort = () => reject(new RequestError("Stopped.", 0, null));
    signal.addEventListener("abort", () => call.abort());
    call.send(file);
  });
}

/** The picture of a place, upright, ready to be drawn. */
export async function getPicture(place, signal) {
  return createImageBitmap(await pictureFile(place, signal), { imageOrientation: "from-image" });
}

async function pictureFile({ picture }, signal) {
  const answer = await reach(picture, { signal });
  if (!answer.ok) {
    const content = await answer.json().catch(() => null);
    throw new RequestError(wordsOf(content, answer.status), answer.status, null);
  }
  return answer.blob();
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new RequestError(UNREACHED, 0, null);
  }
}

/** How many figures each class has on a dataset's images, by the class's id. */
export const getClassCounts = (datasetId) =>
  request("GET", `/workspace/api/datasets/${datasetId}/classes`);
/** The figures of a class on a dataset's images, image by image. */
export const getFiguresOfClass = (datasetId, classId) =>
  request("GET", `/workspace/api/datasets/${datasetId}/figures?class_id=${classId}`);

/** A part of an image, shrunk to `side` pixels at most, ready to be drawn. */
export function getCrop({ id, version }, { left, top, right, bottom }, side, signal) {
  const query = new URLSearchParams({ left, top, right, bottom, side, v: version });
  return getPicture({ picture: `/workspace/api/images/${id}/crop?${query}` }, signal);
}

/** The app, as the platform's clients reach it. */
export class App {
  constructor(sessionToken) {
    this.join(sessionToken);
  }

  async call(...what) {
    try {
      return await this.send(...what);
    } catch (error) {
      if (error.status !== 404 || !(await this.renew())) throw error;
      return this.send(...what);
    }
  }

  /** A workspace that was started again has another session; tell whether it is so. */
  async renew() {
    const before = this.base;
    this.join((await getSession()).session_token);
    return this.base !== before;
  }

  join(sessionToken) {
    this.base = `/net/${encodeURIComponent(sessionToken)}`;
  }

  send(endpoint, envelope = {}, requestId = undefined, signal = undefined) {
    const headers = requestId ? { "X-Request-Id": requestId } : {};
    const body = { context: {}, state: {}, ...envelope };
    return request("POST", `${this.base}/${endpoint}`, body, headers, signal);
  }

  serveOptions() {
    return this.call("get_serve_options");
  }

  /** What the app measures of itself, as Prometheus reads it. */
  async metrics() {
    const answer = await reach(`${this.base}/metrics`);
    return answer.ok ? answer.text() : "";
  }

  /** Answers when the model is ready. */
  serve(modelName, device) {
    const deploy_params = { model_source: "Pretrained models", device, runtime: "PyTorch" };
    return this.call("deploy_from_api", { state: { model_name: modelName, deploy_params } });
  }

  stop() {
    return this.call("stop_model");
  }

  /**
   * Ask for a mask.
   * @param {object} context - {crop?, positive, negative, image_id (or another source),
   *   figure_id?, init_figure?, mask?, request_uid}
   * @param {AbortSignal} signal - the answer is not wanted any more
   * @returns {Promise<{origin: {x, y}|null, bitmap: string|null}>}
   */
  async segment(context, signal) {
    const answer = await this.call(
      "smart_segmentation",
      { context, state: { settings: {} } },
      context.request_uid,
      signal,
    );
    if (answer?.success === false) {
      throw new RequestError(wordsOf(answer, 200), 200, answer.request_id ?? context.request_uid);
    }
    return answer;
  }

  /**
   * Apply the model to the picture of a place, as the platform's NN Image Labeling does.
   * @param {object} state - {settings, rectangle?}
   * @returns {Promise<{annotation: {objects: object[]}, found: object[]}>}
   */
  async apply(place, state, requestId, signal) {
    const { image_id, video } = place.source;
    const ask = (endpoint, what) =>
      this.call(endpoint, { state: { ...what, ...state } }, requestId, signal);
    if (image_id !== undefined) return ask("inference_image_id", { image_id });
    if (video !== undefined) {
      const { video_id: videoId, frame_index: startFrameIndex } = video;
      const answer = await ask("inference_video_id", { videoId, startFrameIndex, framesCount: 1 });
      return answer.ann[0];
    }
    return this.applyToFile(place, state, requestId, signal);
  }

  /** No route of the app names photos and slices for this: the picture itself is sent. */
  async applyToFile(place, state, requestId, signal) {
    const form = new FormData();
    form.append("files", await pictureFile(place, signal), "picture");
    form.append("state", JSON.stringify(state));
    const headers = { "X-Request-Id": requestId };
    return request("POST", `${this.base}/inference_image`, form, headers, signal);
  }

  /**
   * Ask for many masks at once.
   * @param {object[]} contexts - as of `segment`
   * @returns {Promise<({origin: {x, y}, bitmap: string}|null)[]>} in that order; null: none
   */
  async segmentMany(contexts, requestId, signal) {
    const context = { data_to_process: { ...contexts } };
    const envelope = { context, state: { settings: {} } };
    const answers = await this.call("smart_segmentation_batched", envelope, requestId, signal);
    return contexts.map((_, index) => answers?.[index] ?? null);
  }
}
