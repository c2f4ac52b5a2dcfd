import type { Scene, Violation } from './scene.ts';

/**
 * I4: at most the limit arrives in any window, as far as delivery lets that be seen. An account that somebody else uses
 * as well is left out.
 */
export function* checkLimit({ api, limit }: Scene): Generator<Violation> {
  const accounts = new Map<string, number[]>();
  const shared = new Set<string>();
  for (const { account, at, process } of api) {
    if (account === '') continue;
    if (process === '') shared.add(account);
    accounts.set(account, [...(accounts.get(account) ?? []), at]);
  }
  const windowMs = limit.windowMs - limit.slackMs;
  if (windowMs <= 0) return;
  for (const [account, times] of accounts) {
    if (shared.has(account)) continue;
    times.sort((a, b) => a - b);
    let from = 0;
    for (const [to, at] of times.entries()) {
      while (times[from]! <= at - windowMs) from += 1;
      const count = to - from + 1;
      if (count <= limit.calls) continue;
      const said = `account ${account}: ${count} calls came within ${Math.round(at - times[from]!)} ms; the limit is ${limit.calls} in ${limit.windowMs} ms`;
      yield { invariant: 'I4', said };
      break;
    }
  }
}
