// HTTP: the workspace's own routes, and the app behind `/net/<session token>/`.

/** A request that failed, in words; `requestId` names it in the app's log. */
export class RequestError extends Error {
  constructor(message, status, requestId) {
    super(message);
    this.status = status;
    this.requestId = requestId;
  }
}

async function request(method, path, body, headers = {}, signal = undefined) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch {
    throw new RequestError("The workspace does not answer. Is it still running?", 0, null);
  }
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
export const getMedia = () => request("GET", "/workspace/api/media");
export const getClasses = () => request("GET", "/workspace/api/classes");
export const addClass = (title, color) =>
  request("POST", "/workspace/api/classes", { title, color });
export const getFigures = (place) => request("GET", place.figures);
export const saveFigure = (place, figure) => request("POST", place.figures, figure);
export const changeFigure = (figureId, figure) =>
  request("PUT", `/workspace/api/figures/${figureId}`, figure);
/** How many figures each place of the medium holds; an image is its only place. */
export const getPlaces = async (place) => (place.places ? request("GET", place.places) : {});
/** A video's objects, and on which frames they have figures; other media have none. */
export const getObjects = async ({ kind, id }) =>
  (kind === "video" ? request("GET", `/workspace/api/videos/${id}/objects`) : []);
export const getTracks = ({ id }) => request("GET", `/workspace/api/videos/${id}/tracks`);
/** @param {{frame, frames, direction, objectIds}} wish */
export const startTrack = ({ id }, wish) =>
  request("POST", `/workspace/api/videos/${id}/track`, wish);
export const stopTrack = (trackId) =>
  request("POST", `/workspace/api/tracks/${encodeURIComponent(trackId)}/stop`);
export const deleteFigure = (figureId) => request("DELETE", `/workspace/api/figures/${figureId}`);

/** The picture of a place, upright, ready to be drawn. */
export async function getPicture(place, signal) {
  const answer = await fetch(place.picture, { signal });
  if (!answer.ok) {
    const content = await answer.json().catch(() => null);
    throw new RequestError(wordsOf(content, answer.status), answer.status, null);
  }
  return createImageBitmap(await answer.blob(), { imageOrientation: "from-image" });
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
}
