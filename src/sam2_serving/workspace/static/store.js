// The page's state: one object, changed by `set`, watched by `watch`.

/**
 * @param {object} initial
 * @returns {{get: Function, set: Function, watch: Function}}
 */
export function createStore(initial) {
  let state = { ...initial };
  const watchers = new Set();
  return {
    get: (name) => state[name],

    /** Change some fields and tell those who watch them. */
    set(changes) {
      const changed = Object.keys(changes).filter((name) => state[name] !== changes[name]);
      state = { ...state, ...changes };
      for (const watcher of [...watchers]) {
        if (watcher.names.some((name) => changed.includes(name))) watcher.react(state);
      }
    },

    /** Call `react(state)` now, and again when one of the fields changes. */
    watch(names, react) {
      watchers.add({ names, react });
      react(state);
    },
  };
}

export const store = createStore({
  session: null, // {session_token, app_url, project}
  datasets: [], // [{id, name, description, not_for, images, videos, volumes, photos}]
  medium: null, // the image, photo, video or volume that is open
  doneMarks: 0, // how often a medium was marked as done, or as not done, on this page
  place: null, // which picture of it: see places.js
  places: null, // how many figures each place of the medium holds; null: not known yet
  classes: [], // [{id, title, color}]
  classId: null, // the class that the next figure gets
  figures: [], // the figures of the open place
  objects: [], // the video's objects: [{id, classId, classTitle, color, frames}]
  tracks: [], // runs of tracking that go on, and those that ended lately, the newest first
  tracksQuiet: false, // a run goes on, but nothing was heard of it for a while
  trackProblem: null, // why tracking was not started, in words
  trackFrames: 20, // how far to track; null: what was typed is no such number
  trackDirection: "forward", // "forward", "backward" or "both"
  followed: null, // id of the object to track; null: all that are on the frame
  joins: null, // the object that the next figure belongs to; null: a new one
  lost: null, // why the workspace cannot be reached, in words
  playing: false, // the video is played
  selected: null, // id of the figure that is pointed at in the list
  tool: "smart", // what a drag on the picture is: "smart" (a prompt), "box", "region" (to apply to),
  // "reshape" (of a saved box)
  planes: true, // habits.js: a volume's other two planes are shown beside the one that is worked on
  cross: true, // and this: so is the cross-hair
  begun: null, // the box and the clicks of the object in the making
  region: null, // first and last pixel of the part of the picture to apply the model to; null: all
  hidden: false, // saved figures are not drawn
  veiled: [], // those that are hidden one by one: see keeping.js
  locked: [], // and those that cannot be changed
  autoPoint: true, // habits.js, as are the next three and `coloring`
  simpleClicks: false,
  preview: false,
  opacity: 40,
  coloring: "class", // figures have the colour of their class, or ("figure") one of their own
  job: null, // the request for many figures that runs: {words, since, cancel}; cancel: null when it is too late
  unsaved: [], // changes of the open place that bring figures and could not be saved
  serve: null, // the app's answer to get_serve_options
  serveError: null, // why there is none, in words
  served: null, // {model, device} that answered last, also before the app was started again
  modelKey: null, // names the model, device and numeric path that answer now, if any
  deploys: 0, // how often this page has had a model served
  latencyMs: null, // of the last Smart Tool answer
});
