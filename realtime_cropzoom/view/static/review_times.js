// @ts-check
// Times of a session as text.

/** A frame time: 0:07.12, 1:02:03.40; "" if it is not known. @param {number|null|undefined} seconds @param {number} [digits] */
export function timeText(seconds, digits = 2) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
  const sign = seconds < 0 ? "−" : "";
  const parts = Math.round(Math.abs(seconds) * 10 ** digits);
  const whole = Math.floor(parts / 10 ** digits);
  const rest = digits ? "." + String(parts % 10 ** digits).padStart(digits, "0") : "";
  const [hours, minutes, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return sign + (hours ? `${hours}:${two(minutes)}` : String(minutes)) + `:${two(s)}${rest}`;
}
