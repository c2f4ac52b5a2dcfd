import type { Row } from '../model.ts';
import { self } from '../owner.ts';
import type { Call, CallPicture } from '../records/call.ts';
import type { Run } from '../records/runs.ts';
import { outputName } from './keep.ts';

/** What of a call's record neither its row nor its run say. */
type Asked = Pick<
  Call,
  'n' | 'route' | 'account' | 'origin' | 'fingerprint' | 'sources' | 'changes' | 'after'
>;

/** The record of a call that this process is about to make. */
export function newCall({ run, on_unknown: onUnknown = 'retry' }: Run, row: Row, asked: Asked): Call {
  const { n, route, account, origin, fingerprint, sources, changes = [], after = [] } = asked;
  const { id, prompt, size, ratio, output } = row;
  const started_at = new Date().toISOString();
  const what = { fingerprint, prompt, size, ratio, sources, on_unknown: onUnknown, output };
  const head = { v: 1, run, id, n, route, account, origin, owner: self, started_at } as const;
  return {
    ...head,
    ...what,
    ...(changes.length > 0 && { changes }),
    ...(after.length > 0 && { after }),
  };
}

/**
 * The record that a row's picture was paid for by another row's call, so that it counts as done like one of its own,
 * without a byte being read.
 * @param calls the row's own
 */
export function newCopy(
  run: Run,
  row: Row,
  calls: Call[],
  { payer, picture, sources }: { payer: Call; picture: CallPicture; sources: Call['sources'] },
): Call {
  const { id, n, paid_by: paidBy = { id, n } } = payer;
  const copy = newCall(run, row, {
    ...payer,
    changes: [],
    after: [],
    n: (calls.at(-1)?.n ?? 0) + 1,
    sources,
  });
  return {
    ...copy,
    paid_by: paidBy,
    closed: {
      at: copy.started_at,
      ms: 0,
      outcome: 'succeeded',
      charged: 'no',
      picture: { ...picture, output: outputName(row, picture.ext) },
    },
  };
}
