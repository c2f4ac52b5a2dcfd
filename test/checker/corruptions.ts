import { createHash } from 'node:crypto';
import type { Draft } from './draft.ts';
import type { Invariant } from './scene.ts';
import type { CallRecord, Result } from './told.ts';

/** What is done to a good run, and what must be said of it: the invariant, and words. */
type Corruption = [name: string, invariant: Invariant, said: string, corrupt: (draft: Draft) => unknown];

/** The key with which the good run was made. */
export const canary = 'sk_live_studio-canary/9+Zq=';

const everything = (): boolean => true;
const isDone = ({ status }: Result): boolean => status === 'succeeded' || status === 'skipped';
const isCopy = ({ paid_by: payer }: CallRecord): boolean => payer !== undefined;
const isPaid = (call: CallRecord): boolean => call.closed?.picture !== undefined && !isCopy(call);
const hasPaid = (id: string) => (call: CallRecord) => call.id === id && isPaid(call);
const is = (code: string) => (call: CallRecord) => call.closed?.error_code === code;
const later = (time: string, ms: number): string => new Date(Date.parse(time) + ms).toISOString();
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const spooled = (record: string, kind: string): string =>
  record.replace(/^.*\/(\w{40})\/(\d+)\.json$/, `.reshoot/spool/$1-$2.${kind}`);
const base64 = 'QUJD'.repeat(400);

/** Pays for what `r2` or `r9` asked once more, in this run, and the API saw it. */
function payAgain(draft: Draft, run: number): void {
  const { call } = draft.record(hasPaid(draft.any(['r2', 'r9'])));
  const closed = { ...call.closed!, at: later(call.closed!.at, 5050) };
  const started_at = later(call.closed!.at, 5000);
  draft.write({ ...call, run: draft.runs[run]!, n: call.n + 1, started_at, closed });
  const seen = draft.api.find(({ row, charged }) => row === call.prompt && charged);
  draft.api.push({ ...seen!, n: 99, at: Date.parse(started_at) + 10 });
}

/** All that is written about a picture tells of its first half, which stands there. */
function halve(draft: Draft): void {
  const name = draft.file(/^r[1289]\.jpg$/);
  const whole = draft.files.get(name)!;
  const half = whole.subarray(0, whole.length >> 1);
  for (const [other, content] of draft.files) {
    if (!/\.(jsonl?|csv)$/.test(other)) continue;
    const text = String(content).replaceAll(sha256(whole), sha256(half));
    draft.put(other, text.replaceAll(String(whole.length), String(half.length)));
  }
  draft.put(name, half);
}

/** The manifest had a row more than the plan, and all that follows from the plan. */
function planLess(draft: Draft): void {
  const less = (lines: string[]): string[] => lines.slice(0, -1);
  draft.lines(`.reshoot/runs/${draft.runs.at(-1)}/plan.jsonl`, less);
  draft.options(1, (options) => (options.rows -= 1));
  for (const name of ['results.jsonl', 'results.csv']) draft.lines(`report/${name}`, less);
}

/** A row's second call becomes another row's first, which says nothing of the row's own. */
function hidePayer(draft: Draft): void {
  const { name, call } = draft.record(hasPaid('r8'));
  draft.files.delete(name);
  draft.write({ ...call, id: 'r9', n: draft.record(hasPaid('r9')).call.n + 1 });
}

/** The index has a row's call otherwise than its record. */
function misindex(draft: Draft): void {
  const { name, call } = draft.record(isPaid);
  const key = name.split('/').at(-2);
  const calls = [{ ...call, route: 3 - call.route }];
  draft.put('.reshoot/index.jsonl', `${JSON.stringify({ v: 2, key, calls })}\n`);
}

/** The last line of a table, or any but its head. */
const dropLine = (draft: Draft, name: string, heads: number): void =>
  draft.lines(name, (lines) => lines.toSpliced(heads + draft.any([...lines.keys()].slice(heads)) - heads, 1));

const rows: Corruption[] = [
  ['a result is gone', 'I1', 'not at its place', (d) => dropLine(d, 'report/results.jsonl', 0)],
  [
    'a result stands twice',
    'I1',
    'of no row|not at its place',
    (d) => d.lines('report/results.jsonl', (lines) => [...lines, d.any(lines)]),
  ],
  [
    'two results have changed places',
    'I1',
    'not at its place',
    (d) => d.lines('report/results.jsonl', ([first = '', ...lines]) => lines.toSpliced(3, 0, first)),
  ],
  [
    'a row that is done is reported otherwise',
    'I1',
    'it should be',
    (d) =>
      d.result(
        isDone,
        (row) => (row.status = d.any(['failed', 'held', 'not_attempted', 'cancelled', 'invalid'])),
      ),
  ],
  [
    'a row that failed is reported as done',
    'I1',
    'no call of this run|nothing was done',
    (d) =>
      d.result(
        ({ status }) => status === 'failed',
        (row) => (row.status = d.any(['succeeded', 'skipped'])),
      ),
  ],
  [
    'a row has an eighth outcome',
    'I1',
    'no such outcome',
    (d) => d.result(everything, (row) => (row.status = 'done')),
  ],
  [
    'a row has another error',
    'I1',
    'its error is bad_request',
    (d) =>
      d.result(
        ({ error_code: code }) => code !== null,
        (row) => (row.error_code = 'timeout'),
      ),
  ],
  [
    'a cell of the user’s is lost',
    'I1',
    'its note',
    (d) =>
      d.result(
        ({ note }) => note !== '',
        (row) => delete row['note'],
      ),
  ],
  [
    'results.csv says something else',
    'I1',
    'results.csv: status',
    (d) => d.text('report/results.csv', (text) => text.replace('skipped', 'succeeded')),
  ],
  ['failed.csv lacks a row', 'I1', 'failed.csv has 0', (d) => dropLine(d, 'report/failed.csv', 1)],
  ['a file of the report is missing', 'I1', 'no report', (d) => d.drop(/^report\/\w+\.(csv|jsonl?)$/)],
  ['a row of the manifest was never planned', 'I1', 'its manifest 9', planLess],
  [
    'a plan asks for something else than the manifest',
    'I1',
    'is not that of the manifest',
    (d) =>
      d.text(`.reshoot/runs/${d.runs.at(-1)}/plan.jsonl`, (text) =>
        text.replace(/"prompt":"\w+/, '$& or so'),
      ),
  ],
];

const pictures: Corruption[] = [
  ['a picture is gone', 'I2', 'its picture is not there', (d) => d.drop(/^r\d\.jpg$/)],
  [
    'a picture is cut',
    'I2',
    'is not the picture that was reported',
    (d) => {
      const name = d.file(/^r\d\.jpg$/);
      d.put(name, d.files.get(name)!.subarray(0, -20));
    },
  ],
  ['a picture is empty', 'I2', 'is not the picture', (d) => d.put(d.file(/^r\d\.jpg$/), '')],
  [
    'two pictures have changed places',
    'I2',
    'is not what any record puts there',
    ({ files, put }) => {
      const [one, other] = [files.get('r1.jpg')!, files.get('r2.jpg')!];
      put('r1.jpg', other);
      put('r2.jpg', one);
    },
  ],
  [
    'a picture stands at a name that no row has',
    'I2',
    'extra.jpg',
    (d) => d.put('extra.jpg', d.files.get(d.file(/^r\d\.jpg$/))!),
  ],
  [
    'a row that failed has a picture',
    'I2',
    'r5.jpg',
    (d) => d.put('r5.jpg', d.files.get(d.file(/^r\d\.jpg$/))!),
  ],
  ['a picture that made room is gone', 'I2', 'the picture of call', (d) => d.drop(/^\.reshoot\/replaced\//)],
  ['a useless answer is gone', 'I2', 'the useless answer', (d) => d.drop(/^\.reshoot\/rejected\//)],
  [
    'a picture is another than the report says',
    'I2',
    'is not the picture that was reported',
    (d) => d.result(isDone, (row) => (row.sha256 = 'ab'.repeat(32))),
  ],
  ['half a picture is booked as a whole one', 'I2', 'is no whole picture', halve],
];

const money: Corruption[] = [
  [
    'the API never saw a paid call',
    'I3',
    'the API saw',
    (d) => d.api.splice(d.api.indexOf(d.any(d.api.filter(({ charged }) => charged))), 1),
  ],
  [
    'the API saw a call more',
    'I3',
    'on record are',
    (d) => d.api.push({ ...d.any(d.api.filter(({ row }) => row !== undefined)), n: 99 }),
  ],
  [
    'the API charged a call more',
    'I3',
    '1 were paid; on record are 0, and 0 unknown',
    (d) =>
      (d.any(d.api.filter(({ outcome }) => outcome === '400' || outcome === '503-envelope')).charged = true),
  ],
  [
    'a paid call is booked as free',
    'I3',
    'were paid; on record are 0',
    (d) => d.change(isPaid, ({ closed }) => (closed!.charged = 'no')),
  ],
  [
    'a free call is booked as paid',
    'I3',
    '0 were paid; on record are 1',
    (d) => d.change(is('bad_request'), ({ closed }) => (closed!.charged = 'yes')),
  ],
  ['a call has no record', 'I3', 'on record are 0', (d) => d.files.delete(d.record(isPaid).name)],
  [
    'a call came before it was on record',
    'I3',
    'before it was on record',
    (d) => (d.any(d.api.filter(({ row }) => row !== undefined)).at -= 60_000),
  ],
  ['a run pays twice for the same', 'I3', 'paid again', (d) => payAgain(d, 0)],
  ['a row hides what another may have paid', 'I3', 'hides that', hidePayer],
  ['a later run pays for what is done', 'I7', 'paid again', (d) => payAgain(d, 1)],
  [
    'a run’s cap is exceeded',
    'I10',
    'its cap is 6',
    (d) => d.options(0, (options) => (options.max_credits = 6)),
  ],
  [
    'a run’s retry budget is exceeded',
    'I10',
    'its retry budget is 1',
    (d) => d.options(0, (options) => (options.retry_budget = 1)),
  ],
  [
    'a day’s cap is exceeded',
    'I10',
    'the cap is 3',
    (d) => d.options(0, (options) => (options.max_credits_per_day = 3)),
  ],
];

const limit: Corruption[] = [
  [
    'a burst beyond the limit comes',
    'I4',
    '9 calls came within 0 ms',
    (d) => d.api.slice(0, 9).forEach((call) => (call.at = d.api[0]!.at)),
  ],
  [
    'one call too many comes within a window',
    'I4',
    '9 calls came within 800 ms',
    (d) => d.api.slice(0, 9).forEach((call, i) => (call.at = d.api[0]!.at + i * 100)),
  ],
];

const report: Corruption[] = [
  [
    'a command ended with another code',
    'I5',
    'with 6$',
    (d) => d.command((end) => (end.code = d.any([0, 5, 8, 12]))),
  ],
  [
    'a command said another number',
    'I5',
    'something else than the report',
    (d) => d.command((end) => (end.stdout = end.stdout.replace(/"calls": \d+/, '"calls": 77'))),
  ],
  ['a command failed without a word', 'I5', 'no summary', (d) => d.command((end) => (end.stdout = ''))],
  [
    'a command ended as if by a signal',
    'I5',
    'without a signal',
    (d) => d.command((end) => (end.code = 143)),
  ],
  [
    'the summary counts a row more',
    'I5',
    'rows is',
    (d) => d.summary(({ rows }) => (rows[d.any(Object.keys(rows))]! += 1)),
  ],
  [
    'the summary counts a chosen row less',
    'I5',
    'chosen is',
    (d) => d.summary(({ chosen }) => (chosen['skipped']! -= 1)),
  ],
  [
    'the summary says fewer credits',
    'I5',
    'credits\\w* is',
    (d) => d.summary(({ credits, credits_all_runs: all }) => (d.any([credits, all]).charged -= 1)),
  ],
  [
    'the summary hides what was perhaps paid twice',
    'I5',
    'perhaps_twice is 0, not 1',
    (d) => d.summary((summary) => (summary.perhaps_twice = 0)),
  ],
  [
    'the summary has other routes',
    'I5',
    'by_route is',
    (d) => d.summary((summary) => (summary.by_route = {})),
  ],
  ['the summary has no errors', 'I5', 'by_error is', (d) => d.summary((summary) => (summary.by_error = {}))],
  [
    'the summary has another exit code',
    'I5',
    'exit_code is 0',
    (d) => d.summary((summary) => (summary.exit_code = 0)),
  ],
  [
    'the run’s end is another',
    'I5',
    'the end of run',
    (d) => d.end(({ summary }) => (summary.exit_code = 5)),
  ],
  [
    'a run says that its cap stopped it',
    'I5',
    'below its cap',
    (d) => d.end((end) => (end.stop = { code: 8, reason: 'the cap' })),
  ],
  [
    'a run says that it was cancelled',
    'I5',
    'which nobody did',
    (d) => d.end((end) => (end.stop = { code: 14, reason: 'cancelled' })),
  ],
  [
    'a row’s credits are another number',
    'I5',
    'credits is',
    (d) => d.result(everything, (row) => (row.credits += 1)),
  ],
  [
    'a row hides that a charge is unknown',
    'I5',
    'charged is "yes", not "unknown"',
    (d) =>
      d.result(
        ({ charged }) => charged === 'unknown',
        (row) => (row.charged = 'yes'),
      ),
  ],
  [
    'a row lacks one of its calls',
    'I5',
    'calls is',
    (d) =>
      d.result(
        ({ calls }) => calls.length > 0,
        (row) => row.calls.pop(),
      ),
  ],
  [
    'a row’s picture has another size',
    'I5',
    'no record has such',
    (d) => d.result(isDone, (row) => (row.width = 65)),
  ],
  ['calls.csv lacks a call', 'I5', 'calls.csv lacks', (d) => dropLine(d, 'report/calls.csv', 1)],
  [
    'calls.csv has a call twice',
    'I5',
    'a call twice',
    (d) => d.lines('report/calls.csv', (lines) => [...lines, d.any(lines.slice(1))]),
  ],
  [
    'calls.csv says that a call was free',
    'I5',
    'calls.csv says something else',
    (d) => d.text('report/calls.csv', (text) => text.replace(/yes$/m, 'no')),
  ],
  ['runs.csv lacks a run', 'I5', 'runs.csv lacks', (d) => dropLine(d, 'report/runs.csv', 1)],
  [
    'runs.csv says fewer credits',
    'I5',
    'credits_charged of run',
    (d) => d.text('report/runs.csv', (text) => text.replace(/,\d+(,\d+,\d+\n)/, ',1$1')),
  ],
];

const ends: Corruption[] = [
  [
    'a command was ended by a fault of its own',
    'I6',
    'ended by SIGSEGV',
    (d) => d.command((end) => Object.assign(end, { code: null, signal: 'SIGSEGV' })),
  ],
  [
    'a command ended with a code that is none',
    'I6',
    'no exit code',
    (d) => d.command((end) => (end.code = 3)),
  ],
  [
    'a command that only looks took a minute',
    'I6',
    'took 60000 ms',
    (d) => d.command((end) => Object.assign(end, { args: ['status'], ms: 60_000 })),
  ],
  [
    'a command went on after a second signal',
    'I6',
    'after a second signal',
    (d) =>
      d.command(
        (end) => (end.signals = [60_000, 50_000].map((beforeEndMs) => ({ name: 'SIGINT', beforeEndMs }))),
      ),
  ],
  ['a log has the key', 'I8', 'what run', (d) => d.command((end) => (end.stderr += `Bearer ${canary}\n`))],
  [
    'a record has the key in base64',
    'I8',
    'calls/',
    (d) => {
      const before = d.any(['', 'x', 'xx']);
      d.change(everything, (call) => (call.account = Buffer.from(`${before}${canary}!`).toString('base64')));
    },
  ],
  [
    'the state has the key as in an address',
    'I8',
    'state/redis',
    ({ state }) => state.set('redis/a.aof', Buffer.from(`?key=${encodeURIComponent(canary)}`)),
  ],
  ['Redis has the key', 'I8', 'redis/', ({ redis }) => redis.set('{reshoot}:x', Buffer.from(canary))],
  [
    'somebody else’s Redis is written to',
    'I11',
    'not ours',
    ({ redis }) => redis.set('bull:x', Buffer.from('1')),
  ],
  ['the page has the key', 'I8', 'index.html', (d) => d.text('report/index.html', (text) => text + canary)],
  [
    'an answer that broke off is left',
    'I9',
    'is over',
    (d) => d.put(spooled(d.record(everything).name, 'part'), 'half'),
  ],
  [
    'an answer of no call is left',
    'I9',
    'is of no call',
    (d) => d.put(`.reshoot/spool/${'0'.repeat(40)}-1.${d.any(['part', 'bin'])}`, 'half'),
  ],
  [
    'an answer that was kept is left',
    'I9',
    'its picture stands at',
    (d) => {
      const { name, call } = d.record((call) => call.run === d.runs[1] && isPaid(call));
      d.put(spooled(name, 'bin'), d.files.get(call.closed!.picture!.output)!);
    },
  ],
  [
    'a temporary file is left',
    'I9',
    'nobody was killed',
    (d) => d.put(`${d.any(['', 'report/', '.reshoot/calls/'])}.reshoot-12-ab.tmp`, 'half'),
  ],
  ['a command takes all memory', 'I9', '900 MB', (d) => d.command((command) => (command.peakMb = 900))],
  ['a command leaks handles', 'I9', '5000 handles', (d) => d.command((command) => (command.handles = 5000))],
];

const records: Corruption[] = [
  [
    'a record is open, and its process ended well',
    'D6',
    'its process ended well',
    (d) => d.change(everything, (call) => delete call.closed),
  ],
  [
    'a record’s number is left out',
    'D6',
    'stands where call 1 should be',
    (d) => d.files.delete(d.record(({ id, n }) => n === 1 && /r[1678]/.test(id)).name),
  ],
  [
    'a record is cut',
    'D6',
    'SyntaxError',
    (d) => d.text(d.record(everything).name, (text) => text.slice(0, -d.any([5, 50, 500]))),
  ],
  [
    'a record has no version',
    'D6',
    'version undefined',
    (d) => d.change(everything, (call) => delete (call as Partial<CallRecord>).v),
  ],
  [
    'a record has a picture and no success',
    'D6',
    'failed with a picture',
    (d) => d.change(isPaid, ({ closed }) => (closed!.outcome = 'failed')),
  ],
  [
    'a record lies in another row’s folder',
    'D6',
    'another row',
    (d) => {
      const { name } = d.record(everything);
      d.put(`.reshoot/calls/ab/${'ab'.repeat(20)}/${name.split('/').at(-1)}`, d.files.get(name)!);
      d.files.delete(name);
    },
  ],
  [
    'a call took the route whose turn it was not',
    'D6',
    "'s turn",
    (d) =>
      d.change(
        (call) => !isCopy(call),
        (call) => (call.route = 3 - call.route),
      ),
  ],
  [
    'a row had an attempt too many',
    'D6',
    'more than --max-attempts',
    (d) => d.options(0, (options) => (options.max_attempts = 1)),
  ],
  [
    'two calls of a row were in flight at once',
    'D6',
    'was in flight',
    (d) =>
      d.change(
        ({ id, n }) => n === 1 && /r[678]/.test(id),
        ({ closed }) => (closed!.at = later(closed!.at, 60_000)),
      ),
  ],
  [
    'a call asks for something else than its row',
    'D6',
    'something else than its',
    (d) => d.change(everything, (call) => (call.size = '65x65')),
  ],
  [
    'a call has another fingerprint',
    'D6',
    'its fingerprint is not',
    (d) =>
      d.change(
        ({ id }) => id === 'r6' || id === 'r8',
        (call) => (call.fingerprint = 'ab'.repeat(32)),
      ),
  ],
  ['nobody had taken a content on', 'D6', 'had not taken it on', (d) => d.drop(/^\.reshoot\/done\//)],
  [
    'a copied picture is not what its payer brought',
    'D6',
    'no such picture',
    (d) => d.change(isCopy, ({ closed }) => (closed!.picture!.sha256 = 'ab'.repeat(32))),
  ],
  ['the index says something else', 'D6', 'the index says', misindex],
  ['a plan is cut', 'D6', 'its plan 8', (d) => d.text(d.file(/plan\.jsonl$/), (text) => text.slice(0, -30))],
  [
    'a run’s options are gone',
    'D6',
    'no such row',
    (d) => d.files.delete(`.reshoot/runs/${d.runs[0]}/run.json`),
  ],
  [
    'a record holds a picture',
    'D6',
    ': a picture',
    (d) => d.change(everything, (call) => (call.prompt = base64)),
  ],
  ['a log holds a picture', 'D6', ': a picture', (d) => d.command((end) => (end.stderr += base64))],
];

/** Each of them must be found in what was good before. */
export const corruptions = [...rows, ...pictures, ...money, ...limit, ...report, ...ends, ...records];
