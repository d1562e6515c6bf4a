// The page, put together.

import { ask } from "./api.js";
import { startAudit } from "./audit.js";
import { changeCamera, startCamera } from "./camera.js";
import { startCameras } from "./cameras.js";
import { startEvent } from "./event.js";
import { eventsChanged, forget, namesChanged, neighbour, startEvents } from "./events.js";

const me = await ask("/api/me");
document.getElementById("notice").textContent = me.notice;

if (me.can_sign_out) {
  document.getElementById("who").textContent = me.name;
  const signOut = document.getElementById("sign-out");
  signOut.hidden = false;
  signOut.addEventListener("click", async () => {
    await fetch("/logout", { method: "POST" });
    location.replace("/login");
  });
}

startEvents();
startEvent(me.role, { forget, neighbour });
startAudit(me.role);
startCamera(me.role);
startCameras({
  change: me.role === "admin" ? changeCamera : null,
  status({ cameras, events }) {
    namesChanged(cameras.map((camera) => camera.name));
    eventsChanged(events);
  },
  connected(whether) {
    const trouble = document.getElementById("trouble");
    trouble.hidden = whether;
    trouble.textContent = whether ? "" : "The server does not answer. Trying again …";
    document.body.classList.toggle("offline", !whether);
  },
});
