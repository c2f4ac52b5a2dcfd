import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { choosePageRows } from '../../src/report/page-rows.ts';
import type { ReportRow } from '../../src/report/rows.ts';
import { rowStatuses } from '../../src/model.ts';

const rowOf = (row: number, status: ReportRow['status']): ReportRow =>
  ({ row: { row }, status, calls: [] }) as unknown as ReportRow;

it('a page shows all rows, or as many as it can, those that are not done first', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...rowStatuses)),
      fc.integer({ min: 1, max: 12 }),
      (statuses, most) => {
        const chosen = choosePageRows(most);
        for (const [i, status] of statuses.entries()) chosen.add(rowOf(i + 1, status));
        const wanted = chosen.wanted();
        const shown = statuses.flatMap((status, i) => (wanted(i + 1) ? status : []));
        expect(shown.length).toBe(Math.min(most, statuses.length));
        expect(chosen.last()).toBe(statuses.findLastIndex((_, i) => wanted(i + 1)) + 1);
        expect(chosen.left()).toBe(statuses.length - shown.length);
        const undone = (some: string[]): number =>
          some.filter((one) => !/succeeded|skipped/.test(one)).length;
        expect(undone(shown)).toBe(Math.min(most, undone(statuses)));
      },
    ),
  );
});
