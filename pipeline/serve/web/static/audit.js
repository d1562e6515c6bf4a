// The audit log, for admins.

import { ask } from "./api.js";
import { momentOf } from "./words.js";

export function startAudit(role) {
  const dialog = document.getElementById("audit");
  const button = document.getElementById("show-audit");
  button.hidden = role !== "admin";
  button.addEventListener("click", async () => {
    const entries = await ask("/api/audit");
    dialog.querySelector("tbody").replaceChildren(...fold(entries).map(rowOf));
    dialog.showModal();
  });
}

/** What one user did several times in a row becomes one group. */
function fold(entries) {
  const groups = [];
  for (const entry of entries) {
    const { user, action } = groups.at(-1)?.[0] ?? {};
    if (user === entry.user && action === entry.action) groups.at(-1).push(entry);
    else groups.push([entry]);
  }
  return groups;
}

function rowOf(group) {
  const [{ time, user, action, what }] = group;
  const more = group.length > 1 ? ` and ${group.length - 1} more` : "";
  const row = document.createElement("tr");
  for (const text of [momentOf(time), user, action, what + more]) row.insertCell().textContent = text;
  return row;
}
