import * as lua from '../../src/throttle/scripts.ts';

/** What a script of the throttle's sees of Redis. */
export interface Db {
  /** Redis' own clock, epoch milliseconds. */
  readonly now: number;
  /** Which server this is: another after each restart. */
  readonly server: string;
  readonly aof: boolean;
  readonly uptimeMs: number;
  hash(key: string): Map<string, string>;
  zset(key: string): Map<string, number>;
}

interface Script {
  name: string;
  run: (db: Db, keys: string[], argv: string[]) => unknown;
}

const num = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
const add = (hash: Map<string, string>, field: string, by: number): number => {
  const sum = Number(hash.get(field) ?? 0) + by;
  hash.set(field, String(sum));
  return sum;
};
const later = (zset: Map<string, number>, member: string, at: number): void =>
  void zset.set(member, Math.max(at, zset.get(member) ?? -Infinity));
const dropUntil = (zset: Map<string, number>, last: number): void => {
  for (const [member, at] of zset) if (at <= last) zset.delete(member);
};
const count = (zset: Map<string, number>, isWanted: (at: number) => boolean): number =>
  [...zset.values()].filter(isWanted).length;
/** The time of the entry that is so many from the latest. */
const fromLatest = (zset: Map<string, number>, places: number): number =>
  [...zset.values()].sort((a, b) => b - a)[places - 1] ?? 0;

function guardOf(db: Db, state: string, base: number, widest: number): number {
  const [width, at] = ['guard', 'guard_at'].map((field) => num(db.hash(state).get(field)));
  if (width === undefined || at === undefined) return base;
  const days = Math.floor((db.now - at) / 86_400_000);
  return Math.min(widest, Math.max(base, width / 2 ** days));
}

const isCurrent = (db: Db, ledger: string, open: string): boolean =>
  db.hash(ledger).get('server') === db.server && db.hash(open).has('');

function restUntil(
  db: Db,
  known: string | undefined,
  left: string | undefined,
  lost: number | undefined,
  width: number,
): number {
  if (known !== undefined) return known === left ? 0 : db.now + width;
  if (lost !== undefined) return lost + width;
  if (db.aof) return 0;
  return db.now + width - 1000 * Math.floor(db.uptimeMs / 1000);
}

const paidMs = 26 * 3_600_000;

function take(db: Db, keys: string[], argv: string[]): string[] {
  const [call = '', isExtra] = argv;
  const extra = isExtra === '1';
  const [limit = 0, window = 0, base = 0, widest = 0, longest = 0, probeAfter = 0, life = 0] = argv
    .slice(2, 9)
    .map(Number);
  const entry = argv[9] ?? '';
  const [dayCap = -1, dayBegan = 0] = argv.slice(-2).map(Number);
  const [ledgerKey = '', openKey = ''] = keys;
  if (!isCurrent(db, ledgerKey, openKey)) return ['rebuild'];
  const [ledger, holding] = [db.hash(ledgerKey), db.hash(openKey)];
  const accounts = keys.slice(2).flatMap((log, i) => {
    return i % 2 === 0 ? [{ log, state: keys[i + 3] ?? '', name: argv[10 + i / 2] ?? '' }] : [];
  });
  const held = holding.get(call);
  if (held !== undefined && isOnRecord(held)) return ['on record', held.slice(2)];
  if (held !== undefined) {
    for (const { log, name } of accounts) {
      const at = name === held.slice(2) ? db.zset(log).get(entry) : undefined;
      if (at !== undefined && db.now - at <= life) return ['held', held.slice(2)];
      if (at !== undefined) db.zset(log).set(`${entry}@${at}`, at);
      db.zset(log).delete(entry);
      db.zset(lua.paidKey(log)).delete(entry);
    }
    holding.delete(call);
  }
  const state = ledger.get('state') ?? '';
  if (state !== 'running') return [state];
  const [cap = -1, budget = 0, charged = 0, unknown = 0, extras = 0] = [
    'cap',
    'budget',
    'charged',
    'unknown',
    'extra',
  ].map((field) => Number(ledger.get(field)));
  const spent = charged + unknown;
  const open = holding.size - 1;
  const extraOpen = [...holding.values()].filter((value) => value.startsWith('1')).length;
  if (cap >= 0 && spent + open + 1 > cap) return spent >= cap ? ['cap'] : ['yield', '1000'];
  if (extra && extras + extraOpen + 1 > budget) return extras >= budget ? ['budget'] : ['yield', '1000'];

  let [free, wait, spentOut] = [0, window, 0];
  let best: (typeof accounts)[number] | undefined;
  let probe: string | undefined;
  const parked: string[] = [];
  for (const account of accounts) {
    const s = db.hash(account.state);
    const log = db.zset(account.log);
    let paused = num(s.get('paused'));
    if (s.get('server') !== db.server) {
      const width = window + guardOf(db, account.state, base, widest);
      const till = restUntil(db, s.get('server'), s.get('left'), num(ledger.get('lost')), width);
      if (s.has('server')) s.delete('probed');
      s.set('server', db.server);
      if (till > Math.max(db.now, paused ?? 0)) {
        paused = till;
        s.set('paused', String(till));
      }
    }
    let most = Math.min(limit, num(s.get('cap')) ?? limit);
    if (paused !== undefined && paused > db.now + longest) {
      s.delete('paused');
      paused = undefined;
    }
    const why = s.get('parked');
    const isDue = why === undefined || db.now - (num(s.get('probed')) ?? 0) >= probeAfter;
    if (!isDue) {
      parked.push(why);
    } else if (
      dayCap >= 0 &&
      count(db.zset(lua.paidKey(account.log)), (at) => at >= dayBegan - life) >= dayCap
    ) {
      spentOut += 1;
    } else if (paused !== undefined && paused > db.now) {
      wait = Math.min(wait, paused - db.now);
    } else {
      const width = window + guardOf(db, account.state, base, widest);
      if (most < limit && db.now - (num(s.get('cap_at')) ?? 0) > width) {
        most = Math.min(limit, most + Math.ceil(limit / 30));
        s.set('cap', String(most)).set('cap_at', String(db.now));
      }
      dropUntil(log, db.now - 5 * window);
      const n = count(log, (at) => at > db.now - width);
      if (most - n > free) [best, free, probe] = [account, most - n, why];
      else if (n >= most) wait = Math.min(wait, fromLatest(log, most) + width - db.now);
    }
  }
  if (!best) {
    if (parked.length + spentOut === accounts.length) {
      if (parked.length > 0 && spentOut > 0) parked.push('day_spent');
      if (parked.length > 0) return [open === 0 ? 'parked' : 'parked meanwhile', parked.join(', ')];
      return open === 0 ? ['day'] : ['yield', '1000'];
    }
    return ['wait', String(Math.max(1, Math.ceil(wait)))];
  }
  if (probe !== undefined) db.hash(best.state).set('probed', String(db.now));
  db.zset(best.log).set(entry, db.now);
  const paid = db.zset(lua.paidKey(best.log));
  dropUntil(paid, db.now - paidMs);
  paid.set(entry, db.now);
  holding.set(call, `${extra ? 1 : 0}:${best.name}`);
  add(ledger, 'moves', 1);
  return ['slot', best.name];
}

function end(db: Db, [endsKey = '', state = '']: string[], argv: string[]): number {
  const [entry = ''] = argv;
  const [limit = 0, window = 0, base = 0, widest = 0] = argv.slice(1).map(Number);
  const ends = db.zset(endsKey);
  const width = window + guardOf(db, state, base, widest);
  ends.delete(entry);
  dropUntil(ends, db.now - width);
  if (ends.size >= limit) return Math.max(1, Math.ceil(fromLatest(ends, limit) + width - db.now));
  ends.set(entry, db.now);
  return 0;
}

const isOnRecord = (held: string | undefined): boolean => held?.[1] === '!';

function giveBack(
  db: Db,
  [log = '', open = '', state = '']: string[],
  [call = '', entry = '']: string[],
): void {
  if (isOnRecord(db.hash(open).get(call))) return;
  untry(db, log, state, entry);
  release(db, log, open, call, entry);
}

function drop(db: Db, [log = '', open = '']: string[], [call = '', entry = '', life]: string[]): void {
  if (isOnRecord(db.hash(open).get(call))) return;
  const at = db.zset(log).get(entry);
  if (at !== undefined && db.now - at <= Number(life)) return;
  release(db, log, open, call, entry);
}

function release(db: Db, log: string, open: string, call: string, entry: string): void {
  db.zset(log).delete(entry);
  db.zset(lua.paidKey(log)).delete(entry);
  db.hash(open).delete(call);
}

function untry(db: Db, log: string, state: string, entry: string): void {
  const at = db.zset(log).get(entry);
  const probed = num(db.hash(state).get('probed'));
  if (at !== undefined && at === probed) db.hash(state).delete('probed');
}

function holds(db: Db, [ledger = '', openKey = '']: string[], [call = '']: string[]): number {
  const open = db.hash(openKey);
  const held = open.get(call);
  if (held === undefined || !isCurrent(db, ledger, openKey)) return 0;
  open.set(call, `${held[0] ?? ''}!${held.slice(2)}`);
  return 1;
}

function settle(db: Db, keys: string[], argv: string[]): string[] {
  const [ledgerKey = '', openKey = '', stateKey = '', logKey = ''] = keys;
  const [call = '', charged = '', unusable, answered, sent, entry = ''] = argv;
  if (!isCurrent(db, ledgerKey, openKey)) return ['rebuild'];
  const [ledger, open, state, log] = [
    db.hash(ledgerKey),
    db.hash(openKey),
    db.hash(stateKey),
    db.zset(logKey),
  ];
  if (charged === 'no') db.zset(lua.paidKey(logKey)).delete(entry);
  const at = log.get(entry);
  if (sent === '0') {
    untry(db, logKey, stateKey, entry);
    log.delete(entry);
  }
  if (answered === '1') {
    for (const field of ['refusing', 'firewall']) state.delete(field);
    const probed = num(state.get('probed'));
    if (sent !== '0' && at !== undefined && probed !== undefined && at >= probed)
      for (const field of ['parked', 'probed']) state.delete(field);
  }
  const held = open.get(call);
  if (held !== undefined) {
    open.delete(call);
    add(ledger, 'moves', 1);
    const field = { yes: 'charged', unknown: 'unknown' }[charged];
    if (field !== undefined) {
      add(ledger, field, 1);
      if (held.startsWith('1')) add(ledger, 'extra', 1);
    }
    if (unusable === '1') add(ledger, 'unusable', 1);
    if (unusable === '0') ledger.set('unusable', '0');
  }
  return ['ok', ledger.get('unusable') ?? ''];
}

function refused(db: Db, [logKey = '', stateKey = '']: string[], argv: string[]): void {
  const [pause = 0, limit = 0, window = 0, base = 0, widest = 0, refusingFor = 0] = argv.slice(1).map(Number);
  const state = db.hash(stateKey);
  const [paused, lowered, refusing] = ['paused', 'cap', 'refusing'].map((field) => num(state.get(field)));
  const cap = Math.min(limit, lowered ?? limit);
  if (refusing === undefined) state.set('refusing', String(db.now));
  else if (db.now - refusing >= refusingFor)
    state.set('parked', 'rate_limited').set('probed', String(db.now));
  if (paused !== undefined && paused > db.now) {
    state.set('paused', String(Math.max(paused, db.now + pause)));
    return;
  }
  state.set('paused', String(db.now + pause));
  const width = guardOf(db, stateKey, base, widest);
  if (count(db.zset(logKey), (at) => at >= db.now - window - widest) >= cap)
    state.set('guard', String(Math.min(widest, width * 2))).set('guard_at', String(db.now));
  state.set('cap', String(Math.max(3, cap - Math.ceil(limit / 6)))).set('cap_at', String(db.now));
}

function park(db: Db, [stateKey = '']: string[], [reason = '', times]: string[]): void {
  const state = db.hash(stateKey);
  if (add(state, 'firewall', 1) < Number(times)) return;
  state.set('parked', reason).set('probed', String(db.now));
}

function stop(db: Db, [ledgerKey = '']: string[], [code = '', reason = '']: string[]): void {
  const ledger = db.hash(ledgerKey);
  if (!ledger.has('stop_code')) ledger.set('stop_code', code).set('stop_reason', reason);
  if (ledger.get('state') !== 'cancelled') ledger.set('state', 'stopped');
}

function cancel(db: Db, [ledgerKey = '']: string[], [code = '', reason = '']: string[]): string {
  const ledger = db.hash(ledgerKey);
  const state = ledger.get('state') ?? '';
  if (state !== 'running' && state !== 'paused') return state;
  ledger.set('state', 'cancelled').set('stop_code', code).set('stop_reason', reason);
  return state;
}

function alike(db: Db, [ledgerKey = '']: string[], [code = '']: string[]): number {
  const ledger = db.hash(ledgerKey);
  if (code === '' || ledger.get('alike_code') !== code) ledger.set('alike_code', code).set('alike', '0');
  return add(ledger, 'alike', 1);
}

/** Redis' clock never says the same twice. */
let marks = 0;
const newMark = (db: Db): string => `${db.server} ${(marks += 1)}`;

function look(db: Db, [ledgerKey = '']: string[]): string[] {
  const ledger = db.hash(ledgerKey);
  let mark = ledger.get('looked');
  if (mark === undefined || !mark.startsWith(`${db.server} `)) ledger.set('looked', (mark = newMark(db)));
  return [ledger.get('moves') ?? '0', String(db.now), mark];
}

function rebuild(db: Db, [ledgerKey = '', openKey = '']: string[], argv: string[]): number {
  const [start, moves, mark, cap = '', budget = '', charged = '', unknown = '', extra = '', told = ''] = argv;
  const ledger = db.hash(ledgerKey);
  const open = db.hash(openKey);
  const stands = isCurrent(db, ledgerKey, openKey);
  if (stands && start === '0') return 1;
  if (ledger.get('looked') !== mark) return 0;
  if (stands && (ledger.get('moves') ?? '0') !== moves) return 0;
  const [server, left] = [ledger.get('server'), ledger.get('left')];
  const isNew = start === '1' && server === undefined;
  if (!(stands || isNew || (server !== undefined && server === left))) ledger.set('lost', String(db.now));
  let state = ledger.get('state');
  if (start === '1' || state === undefined) {
    state = told;
    ledger.delete('stop_code');
    ledger.delete('stop_reason');
    if (state === 'cancelled') ledger.set('stop_code', argv[9] ?? '').set('stop_reason', argv[10] ?? '');
  }
  const gone = Number(argv[11]);
  for (const call of argv.slice(12, 12 + gone)) open.delete(call);
  if (!stands) open.clear();
  open.set('', '');
  const looked = newMark(db);
  const now = { server: db.server, looked, state, cap, budget, charged, unknown, extra, unusable: '0' };
  for (const [field, value] of Object.entries(now)) ledger.set(field, value);
  for (let at = 12 + gone; at < argv.length; at += 2) open.set(argv[at] ?? '', argv[at + 1] ?? '');
  return 1;
}

/** The throttle's scripts in JavaScript, line by line what the Lua does; that both do the same its own tests say. */
export const scripts = new Map<string, Script>([
  [lua.take, { name: 'take', run: take }],
  [lua.stamp, { name: 'stamp', run: (db, [log = ''], [entry = '']) => later(db.zset(log), entry, db.now) }],
  [lua.end, { name: 'end', run: end }],
  [lua.giveBack, { name: 'give back', run: giveBack }],
  [lua.drop, { name: 'drop', run: drop }],
  [lua.settle, { name: 'settle', run: settle }],
  [lua.refused, { name: 'refused', run: refused }],
  [lua.park, { name: 'park', run: park }],
  [lua.holds, { name: 'holds', run: holds }],
  [
    lua.isWhole,
    { name: 'is whole', run: (db, [ledger = '', open = '']) => Number(isCurrent(db, ledger, open)) },
  ],
  [
    lua.repay,
    {
      name: 'repay',
      run(db, [log = ''], argv) {
        const paid = db.zset(lua.paidKey(log));
        for (let at = 0; at < argv.length; at += 2)
          if (!paid.has(argv[at + 1] ?? '')) paid.set(argv[at + 1] ?? '', Number(argv[at]));
      },
    },
  ],
  [lua.stop, { name: 'stop', run: stop }],
  [lua.cancel, { name: 'cancel', run: cancel }],
  [
    lua.turn,
    {
      name: 'turn',
      run(db, [key = ''], [from = '', to = '']) {
        const state = db.hash(key).get('state');
        if (state === from) db.hash(key).set('state', to);
        return state ?? '';
      },
    },
  ],
  [lua.alike, { name: 'alike', run: alike }],
  [lua.look, { name: 'look', run: look }],
  [lua.rebuild, { name: 'rebuild', run: rebuild }],
]);
