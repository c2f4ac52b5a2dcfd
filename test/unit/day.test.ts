import { expect, it } from 'vitest';
import { dayBegan, dayEnds } from '../../src/batch/day.ts';

it.each([
  // Summer time ends: 25 hours. It begins: 23, in Santiago at midnight itself.
  ['Europe/Berlin', '2026-10-25T22:59:59.999Z', '2026-10-24T22:00:00.000Z', '2026-10-25T23:00:00.000Z'],
  ['Europe/Berlin', '2026-10-25T23:00:00.000Z', '2026-10-25T23:00:00.000Z', '2026-10-26T23:00:00.000Z'],
  ['Europe/Berlin', '2026-03-29T10:00:00.000Z', '2026-03-28T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
  ['America/Santiago', '2026-09-06T12:00:00.000Z', '2026-09-06T04:00:00.000Z', '2026-09-07T03:00:00.000Z'],
  ['Asia/Shanghai', '2026-11-23T15:59:59.999Z', '2026-11-22T16:00:00.000Z', '2026-11-23T16:00:00.000Z'],
  ['UTC', '2026-12-31T23:59:59.999Z', '2026-12-31T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
])('a day of %s that %s belongs to', (zone, at, began, ends) => {
  const moment = Date.parse(at);
  expect(new Date(dayBegan(moment, zone)).toISOString()).toBe(began);
  expect(new Date(dayEnds(moment, zone)).toISOString()).toBe(ends);
});
