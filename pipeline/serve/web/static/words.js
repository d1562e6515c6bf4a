// How values are written, in the reader's language and time zone.

const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const STATES = {
  connecting: "◌ Connecting",
  live: "● Live",
  stalled: "▲ No picture",
  waiting: "◐ Reconnecting",
  failed: "✕ Failed",
};

export function dayOf(time) {
  const date = new Date(time);
  const today = new Date();
  if (date.toDateString() === today.toDateString()) return "Today";
  today.setDate(today.getDate() - 1);
  return date.toDateString() === today.toDateString() ? "Yesterday" : day.format(date);
}

export const clockOf = (time) => clock.format(new Date(time));
export const momentOf = (time) => moment.format(new Date(time));

export function spanOf(start, end) {
  if (!end) return "going on";
  const seconds = (new Date(end) - new Date(start)) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function figuresOf(camera) {
  const parts = [`${camera.fps.toFixed(1)} fps`];
  if (camera.latency !== null) parts.push(`${Math.round(camera.latency * 1000)} ms`);
  parts.push(`${camera.dropped.toLocaleString()} dropped`);
  if (camera.withheld) parts.push(`${camera.withheld.toLocaleString()} withheld`);
  if (camera.gaps) parts.push(`${camera.gaps.toLocaleString()} ${camera.gaps === 1 ? "gap" : "gaps"}`);
  return parts.join(" · ");
}

export const percentOf = (score) => `${Math.round(score * 100)} %`;
