// @ts-check
// Numbers and times as text. "–" stands for a number that is not known.

export const UNKNOWN = "–";

/** @param {number|null|undefined} value @param {number} [digits] */
export function fixed(value, digits = 0) {
  return value === null || value === undefined || !Number.isFinite(value) ? UNKNOWN : value.toFixed(digits);
}

/** A duration in ms with about three digits: 3.42, 12.7, 148. @param {number|null|undefined} ms */
export function milliseconds(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return UNKNOWN;
  return ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0);
}

/** A count with thin spaces between thousands. @param {number|null|undefined} value */
export function count(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u2009");
}

/** Time of day of the browser's time zone. @param {number} unixMs @param {boolean} [withMs] */
export function clock(unixMs, withMs = false) {
  const date = new Date(unixMs);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0"));
  return parts.join(":") + (withMs ? "." + String(date.getMilliseconds()).padStart(3, "0") : "");
}

/** A duration: 0:07, 12:34, 1:02:03. @param {number} ms */
export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, seconds] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  const tail = String(seconds).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** @param {number|null|undefined} bytes */
export function bytes(bytes) {
  if (bytes === null || bytes === undefined) return UNKNOWN;
  const step = Math.min(4, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  const value = bytes / 1000 ** step;
  return `${value.toFixed(value < 10 && step ? 1 : 0)}\u00a0${["B", "kB", "MB", "GB", "TB"][step]}`;
}

/** Hours that are left on a disk. @param {number|null|undefined} hours */
export function hours(hours) {
  if (hours === null || hours === undefined) return UNKNOWN;
  if (hours > 999) return "> 999";
  return hours < 10 ? hours.toFixed(1) : hours.toFixed(0);
}

/** `snake_case` as words. @param {string} name */
export function words(name) {
  return name.replaceAll("_", " ");
}
