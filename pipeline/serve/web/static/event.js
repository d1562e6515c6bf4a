// One event: its clip or picture, and the facts.

import { ask } from "./api.js";
import { momentOf, percentOf, spanOf } from "./words.js";

const dialog = document.getElementById("event");
const media = document.getElementById("media");
const remove = document.getElementById("delete");
const download = document.getElementById("download");
const ways = { [-1]: document.getElementById("newer-event"), 1: document.getElementById("older-event") };
let shown = null;
let list = null;

/** `events` is the list: `neighbour(id, step)` finds in it, `forget(id)` takes out of it. */
export function startEvent(role, events) {
  list = events;
  remove.hidden = role !== "admin";
  remove.addEventListener("click", erase);
  remove.addEventListener("blur", () => { remove.textContent = "Delete"; });
  for (const step of [-1, 1]) ways[step].addEventListener("click", () => go(step));
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && event.target.tagName !== "VIDEO") go(step);
  });
  dialog.addEventListener("close", () => {
    media.replaceChildren(); // or the clip would play on
    history.replaceState(null, "", location.pathname);
    document.querySelector(`button[data-event="${CSS.escape(shown.id)}"]`)?.focus();
  });
  addEventListener("hashchange", fromLink);
  fromLink();
}

/** A link such as `/#event/ID` opens the event. */
async function fromLink() {
  const id = location.hash.match(/^#event\/(.+)$/)?.[1];
  if (id === undefined) return;
  try {
    showEvent(await ask(`/api/events/${id}`));
  } catch {
    history.replaceState(null, "", location.pathname); // it is not there any more
  }
}

/** The list is another one: the event that is open may have got its end, its clip or a neighbour. */
export function refreshEvent(events) {
  if (!dialog.open) return;
  const event = events.find((each) => each.id === shown.id);
  if (event && JSON.stringify(event) !== JSON.stringify(shown)) showEvent(event);
  else enableWays();
}

export function showEvent(event) {
  const before = dialog.open ? shown : null;
  shown = event;
  history.replaceState(null, "", `#event/${encodeURIComponent(event.id)}`);
  document.getElementById("event-title").textContent = `${event.label} · ${event.camera}`;
  const same = before && ["id", "thumbnail", "clip"].every((key) => event[key] === before[key]);
  if (!same) media.replaceChildren(mediaOf(event)); // else a clip would begin again
  document.getElementById("facts").replaceChildren(...factsOf(event));
  download.hidden = !event.clip;
  download.href = event.clip ? `${event.clip}?download=true` : "";
  enableWays();
  if (!dialog.open) dialog.showModal();
}

function enableWays() {
  for (const step of [-1, 1]) ways[step].disabled = !list.neighbour(shown.id, step);
}

function mediaOf(event) {
  if (event.clip) {
    const video = document.createElement("video");
    Object.assign(video, { controls: true, autoplay: true, muted: true, loop: true, playsInline: true, src: event.clip });
    if (event.thumbnail) video.poster = event.thumbnail;
    return video;
  }
  if (!event.thumbnail) return Object.assign(document.createElement("p"), { className: "empty", textContent: "No picture" });
  return Object.assign(document.createElement("img"), { src: event.thumbnail, alt: `${event.label} at ${event.camera}` });
}

function factsOf(event) {
  const facts = {
    Seen: momentOf(event.start),
    For: spanOf(event.start, event.end),
    Score: percentOf(event.score),
    Rule: event.rule,
    Zones: event.zones.join(", "),
    Track: event.track,
  };
  return Object.entries(facts)
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => {
      const fact = Object.assign(document.createElement("div"), { className: "fact" });
      fact.append(part("dt", name), part("dd", value));
      return fact;
    });
}

const part = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

function go(step) {
  const event = shown && list.neighbour(shown.id, step);
  if (event) showEvent(event);
}

async function erase() {
  if (remove.textContent === "Delete") {
    remove.textContent = "Delete for good?";
    return;
  }
  await ask(`/api/events/${encodeURIComponent(shown.id)}`, { method: "DELETE" });
  const event = list.neighbour(shown.id, 1) ?? list.neighbour(shown.id, -1);
  list.forget(shown.id);
  remove.textContent = "Delete";
  if (event) showEvent(event);
  else dialog.close();
}
