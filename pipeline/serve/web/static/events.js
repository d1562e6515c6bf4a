// The list of events and its search.

import { ask } from "./api.js";
import { refreshEvent, showEvent } from "./event.js";
import { clockOf, dayOf, percentOf, spanOf } from "./words.js";

const form = document.getElementById("search");
const list = document.getElementById("list");
const older = document.getElementById("older");
const none = document.getElementById("no-events");
const moreGaps = document.getElementById("more-gaps");
const LIMIT = 40;
const MOST_GAPS = 200;

let events = [];
let gaps = { gaps: [], next: null };
let next = null;
let asked = 0;
let shownMark = null;
let typing = null;
const nodes = new Map(); // id -> {text, node}

export function startEvents() {
  form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
  form.addEventListener("reset", () => setTimeout(search));
  form.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 300); });
  older.addEventListener("click", more);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, select, textarea, dialog")) return;
    event.preventDefault();
    form.elements.label.focus();
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...list.querySelectorAll("button")];
    all[all.indexOf(document.activeElement) + step]?.focus();
  });
}

/** `mark` changes when one of the newest events does. */
export function eventsChanged(mark) {
  if (mark === shownMark) return;
  shownMark = mark;
  search({ keep: true });
}

export function namesChanged(cameras) {
  const select = form.elements.camera;
  const known = [...select.options].slice(1).map((option) => option.value);
  for (const name of cameras.filter((each) => !known.includes(each))) select.add(new Option(name, name));
}

export function neighbour(id, step) {
  const place = events.findIndex((event) => event.id === id);
  return place < 0 ? undefined : events[place + step];
}

export function forget(id) {
  events = events.filter((event) => event.id !== id);
  render();
}

function query(values) {
  const asked = new URLSearchParams(values);
  const { camera, since, until } = form.elements;
  if (camera.value) asked.set("camera", camera.value);
  if (since.value && !asked.has("since")) asked.set("since", new Date(since.value).toISOString());
  if (until.value) asked.set("until", new Date(until.value).toISOString());
  return asked;
}

function askEvents(before) {
  const asked = query({ limit: LIMIT, ...(before && { before }) });
  const labels = form.elements.label.value.split(",").map((part) => part.trim()).filter(Boolean);
  for (const each of labels) asked.append("label", each);
  return ask(`/api/events?${asked}`);
}

/** The gaps of the time that the list shows, whatever label is searched for: nothing could be seen in them. */
function askGaps() {
  return ask(`/api/gaps?${query({ limit: MOST_GAPS, ...(next !== null && { since: events.at(-1).start }) })}`);
}

async function search({ keep = false } = {}) {
  const turn = ++asked;
  try {
    const page = await askEvents();
    if (turn !== asked) return; // a later question has been asked
    const last = keep && page.next !== null ? events.findIndex((event) => event.id === page.events.at(-1).id) : -1;
    const rest = last < 0 ? [] : events.slice(last + 1);
    if (!rest.length) next = page.next;
    events = [...page.events, ...rest];
    await renderWithGaps(turn);
  } catch (error) {
    say(error.message);
  }
}

async function more() {
  const turn = ++asked;
  older.disabled = true;
  try {
    const page = await askEvents(next);
    if (turn !== asked) return;
    events = [...events, ...page.events];
    next = page.next;
    await renderWithGaps(turn);
  } catch (error) {
    say(error.message);
  } finally {
    older.disabled = false;
  }
}

function say(text) {
  none.textContent = text;
  none.hidden = false;
}

async function renderWithGaps(turn) {
  let problem = null;
  const found = await askGaps().catch((error) => {
    problem = error;
    return gaps;
  });
  if (turn !== asked) return;
  gaps = found;
  render();
  if (problem) say(problem.message);
}

function render() {
  const focused = document.activeElement?.dataset?.event;
  const days = [];
  let heading = null;
  const all = [...events, ...gaps.gaps].sort((one, other) => new Date(other.start) - new Date(one.start));
  for (const event of all) {
    const day = dayOf(event.start);
    if (day !== heading) {
      heading = day;
      days.push(Object.assign(document.createElement("h3"), { textContent: day }), document.createElement("ol"));
    }
    days.at(-1).append(nodeOf(event));
  }
  for (const id of [...nodes.keys()].filter((each) => !all.some((event) => event.id === each))) nodes.delete(id);
  list.replaceChildren(...days);
  if (focused) list.querySelector(`[data-event="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  older.hidden = next === null;
  moreGaps.hidden = gaps.next === null;
  none.hidden = events.length > 0;
  none.textContent = new FormData(form).values().some(Boolean) ? "No event fits this search." : "Nothing has been seen yet.";
  suggest();
  refreshEvent(events);
}

function nodeOf(event) {
  const text = JSON.stringify(event);
  const known = nodes.get(event.id);
  if (known?.text === text) return known.node;
  const node = document.createElement("li");
  const missed = event.reason !== undefined;
  node.classList.toggle("gap", missed);
  node.append(...(missed ? partsOf(event, "No pictures", [spanOf(event.start, event.end), event.reason]) : [buttonOf(event)]));
  nodes.set(event.id, { text, node });
  return node;
}

function buttonOf(event) {
  const button = document.createElement("button");
  button.className = "event";
  button.dataset.event = event.id;
  const facts = [percentOf(event.score), spanOf(event.start, event.end), ...(event.clip ? ["clip"] : [])];
  button.append(pictureOf(event), ...partsOf(event, event.label, facts));
  button.addEventListener("click", () => showEvent(event));
  return button;
}

function partsOf({ camera, start }, title, facts) {
  const time = Object.assign(part("time", clockOf(start)), { dateTime: start });
  return [part("b", title), part("span", camera), time, part("small", facts.join(" · "))];
}

function pictureOf(event) {
  if (!event.thumbnail) return Object.assign(document.createElement("i"), { ariaHidden: "true" });
  return Object.assign(document.createElement("img"), { loading: "lazy", alt: "", src: event.thumbnail });
}

const part = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

function suggest() {
  const labels = document.getElementById("labels");
  const known = new Set([...labels.children].map((option) => option.value));
  for (const { label } of events) {
    if (!known.has(label)) labels.append(new Option("", label));
    known.add(label);
  }
}
