// The place under the stage where the frames of a video will stand.

/** An image has one frame: the place stays closed, and the stage has its room. */
export function closeTimeline(root) {
  root.hidden = true;
}
