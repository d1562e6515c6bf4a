// The settings of one camera, for admins: added, changed, removed.

import { ask } from "./api.js";

const dialog = document.getElementById("camera");
const form = document.getElementById("camera-form");
const { name, source, every, masks, zones } = form.elements;
const now = document.getElementById("source-now");
const problem = document.getElementById("camera-problem");
const remove = document.getElementById("remove-camera");
const ASK = "Remove";
let changed = null; // the name of the camera that is changed; null: a new one
let before = {}; // its settings

export function startCamera(role) {
  const button = document.getElementById("add-camera");
  button.hidden = role !== "admin";
  button.addEventListener("click", () => open(null, {}));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(save);
  });
  remove.addEventListener("click", () => {
    if (remove.textContent === ASK) remove.textContent = "Remove it?";
    else attempt(() => ask(address(), { method: "DELETE" }));
  });
  remove.addEventListener("blur", () => { remove.textContent = ASK; });
  dialog.addEventListener("close", () => form.reset()); // what was typed may hold a password
}

export async function changeCamera(camera) {
  try {
    open(camera, await ask(`/api/cameras/${encodeURIComponent(camera)}/settings`));
  } catch (error) {
    open(camera, {}, error.message);
  }
}

/** With a failure nothing can be changed: empty fields, saved, would take the masks away. */
function open(camera, settings, failure = "") {
  [changed, before] = [camera, settings];
  form.reset();
  for (const element of form.elements) element.disabled = failure !== "";
  document.getElementById("camera-title").textContent = camera ?? "Add a camera";
  name.value = camera ?? "";
  if (camera !== null) name.disabled = true;
  source.required = camera === null;
  now.textContent = camera === null || failure ? "" : `Now ${settings.source}. Leave this empty to keep it, with its password.`;
  for (const field of [every, masks, zones]) field.value = settings[field.name] ?? "";
  remove.hidden = camera === null;
  remove.textContent = ASK;
  problem.textContent = failure;
  dialog.showModal();
  (camera === null ? name : source).focus();
}

const address = () => `/api/cameras/${encodeURIComponent(changed)}`;

function save() {
  const spec = source.value ? { source: source.value.trim() } : {};
  for (const field of [masks, zones]) { // what is not changed follows the configuration
    const file = field.value.trim();
    if (file !== (before[field.name] ?? "")) spec[field.name] = file || null;
  }
  if (every.value) spec.every = Number(every.value);
  const send = (method, body) => ({ method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (changed === null) return ask("/api/cameras", send("POST", { name: name.value.trim(), spec }));
  return ask(address(), send("PUT", spec));
}

/** Closes the form when it is done; says in one line why it is not. */
async function attempt(action) {
  const buttons = form.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  problem.textContent = "";
  try {
    await action();
    dialog.close();
  } catch (error) {
    problem.textContent = error.message;
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}
