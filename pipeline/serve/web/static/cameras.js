// The grid of cameras.

import { LiveSocket } from "./socket.js";
import { STATES, figuresOf } from "./words.js";

const grid = document.getElementById("grid");
const template = document.getElementById("camera-template");
const cards = new Map();
const inSight = new Set();
let large = null;
let socket = null;
let settings = null;

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inSight.add(target.dataset.camera);
    else inSight.delete(target.dataset.camera);
  }
  wish();
});

/** `change(name)` opens the settings of a camera; null: who is signed in may not. */
export function startCameras({ status, connected, change }) {
  settings = change;
  socket = new LiveSocket({ picture: draw, connected, status: (all) => { show(all.cameras); status(all); } });
  document.addEventListener("visibilitychange", wish);
  grid.addEventListener("keydown", move);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && large !== null && !document.querySelector("dialog[open]")) enlarge(null);
  });
}

/** Only what can be seen is sent. */
function wish() {
  socket?.watch(document.hidden ? [] : [...inSight]);
}

async function draw({ camera }, blob) {
  const card = cards.get(camera);
  if (!card) return;
  const picture = await createImageBitmap(blob);
  const { canvas } = card;
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
  }
  canvas.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
  card.item.classList.add("seen");
}

function show(cameras) {
  const names = new Set(cameras.map((camera) => camera.name));
  for (const name of [...cards.keys()].filter((each) => !names.has(each))) take(name);
  for (const camera of cameras) {
    if (!cards.has(camera.name)) add(camera.name);
    fill(cards.get(camera.name), camera);
  }
  const live = cameras.filter((camera) => camera.state === "live").length;
  document.getElementById("cameras-count").textContent = cameras.length ? `${live} of ${cameras.length} live` : "";
  document.getElementById("no-cameras").hidden = cameras.length > 0;
}

function add(name) {
  const item = template.content.cloneNode(true).querySelector("li");
  const card = { item, screen: item.querySelector(".screen"), canvas: item.querySelector("canvas") };
  item.dataset.camera = name;
  item.querySelector("h3").textContent = name;
  card.canvas.setAttribute("aria-label", `Live picture of ${name}`);
  card.screen.addEventListener("click", () => enlarge(large === name ? null : name));
  const button = item.querySelector(".settings");
  button.hidden = settings === null;
  button.setAttribute("aria-label", `Settings of ${name}`);
  button.addEventListener("click", () => settings(name));
  cards.set(name, card);
  grid.append(item);
  label(name);
  observer.observe(item);
}

function take(name) {
  const { item } = cards.get(name);
  observer.unobserve(item);
  item.remove();
  cards.delete(name);
  inSight.delete(name);
  if (large === name) enlarge(null);
}

function fill({ item, screen }, camera) {
  const state = item.querySelector(".state");
  const veil = item.querySelector(".veil");
  item.dataset.state = camera.state;
  setText(state, STATES[camera.state]);
  setText(item.querySelector(".figures"), figuresOf(camera));
  veil.hidden = camera.state === "live";
  setText(veil, camera.reason ?? STATES[camera.state].slice(2));
  screen.setAttribute("aria-describedby", (state.id ||= `state-${crypto.randomUUID?.() ?? Math.random()}`));
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function label(name) {
  const { screen } = cards.get(name);
  screen.setAttribute("aria-label", large === name ? `${name}: back to all cameras` : `${name}: enlarge`);
  screen.setAttribute("aria-pressed", String(large === name));
}

function enlarge(name) {
  const before = large;
  large = name;
  grid.classList.toggle("single", name !== null);
  for (const [each, card] of cards) {
    card.item.classList.toggle("large", each === name);
    label(each);
  }
  cards.get(name ?? before)?.screen.focus();
}

/** Arrows go from camera to camera; in the grid up and down go by rows. */
function move(event) {
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  const item = event.target.closest("li.camera");
  if (!step || !item) return;
  event.preventDefault();
  const items = [...grid.children];
  const columns = items.filter((each) => each.offsetTop === items[0].offsetTop).length;
  const far = large === null && (event.key === "ArrowUp" || event.key === "ArrowDown") ? columns : 1;
  const next = items[items.indexOf(item) + step * far];
  if (!next) return;
  if (large === null) next.querySelector(".screen").focus();
  else enlarge(next.dataset.camera);
}
