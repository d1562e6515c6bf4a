// One WebSocket for all that is live. Pictures that come faster than they can be drawn give way to the newest.

import { ask } from "./api.js";

const LONGEST_WAIT = 10_000;

export class LiveSocket {
  #socket = null;
  #wait = 500;
  #cameras = [];
  #heard;

  /** `heard` has the functions `picture(header, blob)`, `status(status)` and `connected(whether)`. */
  constructor(heard) {
    this.#heard = heard;
    this.#connect();
  }

  watch(cameras) {
    this.#cameras = cameras;
    this.#say({ cameras });
  }

  #say(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #connect() {
    this.#socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#say({ cameras: this.#cameras });
    this.#socket.onmessage = (message) => this.#hear(message.data);
    this.#socket.onclose = () => this.#again();
  }

  async #hear(data) {
    if (typeof data === "string") {
      this.#wait = 500;
      this.#heard.connected(true);
      this.#heard.status(JSON.parse(data));
      return;
    }
    const length = new DataView(data).getUint16(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 2, length)));
    try {
      await this.#heard.picture(header, new Blob([new Uint8Array(data, 2 + length)], { type: "image/jpeg" }));
    } finally {
      this.#say({ seen: header.camera }); // the next one may come
    }
  }

  #again() {
    this.#heard.connected(false);
    setTimeout(async () => {
      try {
        await ask("/api/me"); // who is signed out goes to the login page
      } catch {
        // the server is away: the next try will tell
      }
      this.#connect();
    }, this.#wait * (0.8 + 0.4 * Math.random()));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }
}
