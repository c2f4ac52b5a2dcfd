import { durationText } from '../../report/text.ts';

/** When something ends, by the clock on the wall; with the day where it isn't today. */
function clockTime(at: Date, now: Date): string {
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
  const tomorrow = new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1);
  if (isSameDay(at, now)) return time;
  if (isSameDay(at, tomorrow)) return `tomorrow ${time}`;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

/** When a run is done that has so many milliseconds left. */
export function doneText(leftMs: number, now: Date): string {
  if (leftMs <= 0) return 'done any moment';
  return `done about ${clockTime(new Date(now.getTime() + leftMs), now)} (in ${timeLeft(leftMs)})`;
}

/** A time that is left, in steps that don't flicker. */
export function timeLeft(ms: number): string {
  return durationText(Math.ceil(ms / 5000) * 5000);
}

const two = (count: number): string => String(count).padStart(2, '0');
const isSameDay = (a: Date, b: Date): boolean => a.toDateString() === b.toDateString();
