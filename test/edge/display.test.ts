import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Order } from '../fixtures/display-show.ts';

const show = fileURLToPath(new URL('../fixtures/display-show.ts', import.meta.url));
const tsx = import.meta.resolve('tsx');

/** A folder for the orders of a display, and the command that shows it. */
function stage() {
  const dir = mkdtempSync(join(tmpdir(), 'reshoot-display-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const orders = join(dir, 'orders');
  const carriedOut = join(dir, 'carried-out');
  writeFileSync(orders, '');
  let given = 0;
  return {
    dir,
    command: [process.execPath, '--import', tsx, show, orders, carriedOut],
    /** Gives an order; comes back when it has been carried out. */
    async order(order: Order): Promise<void> {
      appendFileSync(orders, `${JSON.stringify(order)}\n`);
      given += 1;
      const done = (): boolean =>
        existsSync(carriedOut) && readFileSync(carriedOut, 'utf8') === String(given);
      await until(done);
    },
    /** Gives an order that ends the process. */
    last: (order: Order): void => appendFileSync(orders, `${JSON.stringify(order)}\n`),
  };
}

async function until(holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 20_000; !holds(); await sleep(20)) {
    if (performance.now() > end) throw new Error('waited in vain');
  }
}

const hasTmux = spawnSync('tmux', ['-V']).status === 0;

/** tmux as the terminal: what it would show to a person. */
function openTerminal(columns: number, rows: number) {
  const { dir, command, ...orders } = stage();
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-S', join(dir, 'tmux'), '-f', '/dev/null', ...args], { encoding: 'utf8' });
  const quoted = command.map((word) => `'${word}'`).join(' ');
  tmux('new-session', '-d', '-x', String(columns), '-y', String(rows), `${quoted}; sleep 60`);
  onTestFinished(() => void tmux('kill-server'));
  return {
    ...orders,
    screen: (): string[] => tmux('capture-pane', '-p').trimEnd().split('\n'),
    history: (): string => tmux('capture-pane', '-p', '-S', '-'),
    cursorIsVisible: (): boolean => tmux('display', '-p', '#{cursor_flag}').trim() === '1',
    resize: (width: number, height: number) =>
      void tmux('resize-window', '-x', String(width), '-y', String(height)),
    press: (key: string) => void tmux('send-keys', key),
    pid: (): number => {
      const shell = tmux('display', '-p', '#{pane_pid}').trim();
      const child = execFileSync('ps', ['-o', 'pid=', '--ppid', shell], { encoding: 'utf8' });
      return Number(child.trim());
    },
  };
}

const ids = ['白色运动鞋-001', '🍕-7', 'x\u001B[2J\u202E\n'];

describe.skipIf(!hasTmux)('in a terminal', () => {
  it('stands still at its place, with what is told above it, and leaves nothing', async () => {
    const terminal = openTerminal(80, 24);
    await terminal.order({ settled: 10 });
    await terminal.order({ tell: 'something to say' });
    await terminal.order({ settled: 50, ids });
    expect(terminal.screen()).toEqual([
      'Run r1: started',
      'something to say',
      '[######################xx........................]  50 %   50 of 100 rows',
      expect.stringMatching(/^time {5}done about (tomorrow )?\d\d:\d\d \(in 45 s\)$/),
      'rows     # 47 succeeded   x 3 failed',
      'calls    6 in flight   30 of 30 in the last 60 s',
      'credits  50 charged   1 perhaps   of at most 3000',
      'errors   10 timeout           last row 白色运动鞋-001',
      '          9 server_error      last row 🍕-7',
      '          8 content_refused   last row x\\u001b[2J\\u202e\\u000a',
    ]);
    const before = terminal.screen();
    await terminal.order({ settled: 50, ids, accounts: 2 });
    expect(terminal.screen().slice(6)).toEqual([
      before[6],
      'limits   a0   30 of 30 in the last 60 s',
      '         a1   30 of 30 in the last 60 s',
      ...before.slice(7),
    ]);
    await terminal.order({ settled: 50, ids });
    expect(terminal.screen()).toEqual(before);
    terminal.last({ close: true });
    await until(() => !terminal.screen().join('\n').includes('rows'));
    expect(terminal.screen()).toEqual(['Run r1: started', 'something to say']);
  });

  it('follows the size of the window, and leaves no pieces behind', async () => {
    const terminal = openTerminal(80, 40);
    await terminal.order({ tell: Array.from({ length: 20 }, (_, i) => `told ${i}`).join('\n') });
    await terminal.order({ settled: 50, ids });
    for (const [columns, rows] of [
      [40, 40],
      [120, 40],
      [60, 40],
      [30, 6],
    ] as const) {
      terminal.resize(columns, rows);
      await sleep(150);
      await terminal.order({ settled: 51, ids });
      const screen = terminal.screen();
      expect(screen.length).toBeLessThanOrEqual(rows - 1);
      if (rows > 6) expect(screen[screen.indexOf('told 19') + 1]).toContain('51 of 100 rows');
      expect(screen.filter((line) => line.includes('51 of 100 rows'))).toHaveLength(1);
      expect(screen.filter((line) => line.includes('50 of 100 rows'))).toHaveLength(0);
      expect(screen.filter((line) => line.startsWith('time '))).toHaveLength(1);
      if (columns > 60) expect(screen.at(-1)).toMatch(/last row x/);
    }
  });

  it('lets the message of Ctrl-C stand above it', async () => {
    const terminal = openTerminal(80, 24);
    await terminal.order({ settled: 50 });
    terminal.press('C-c');
    await until(() => terminal.screen().some((line) => line.startsWith('SIGINT: no further call')));
    await terminal.order({ settled: 51 });
    const screen = terminal.screen();
    expect(screen.slice(0, 2)).toEqual([
      'Run r1: started',
      expect.stringMatching(/^SIGINT: no further call/),
    ]);
    expect(screen.filter((line) => line.includes('of 100 rows'))).toHaveLength(1);
    expect(screen).toContainEqual(expect.stringMatching(/^time {5}stopping: .* 6 in flight/));
  });

  it('is drawn anew below the words of a shell that was in between', async () => {
    const terminal = openTerminal(80, 24);
    await terminal.order({ settled: 50 });
    process.kill(terminal.pid(), 'SIGCONT');
    await until(() => terminal.screen().filter((line) => line.includes('50 of 100 rows')).length === 2);
    await terminal.order({ settled: 51 });
    const bars = terminal.screen().filter((line) => line.includes('of 100 rows'));
    expect(bars.map((line) => /\d+ of/.exec(line)?.[0])).toEqual(['50 of', '51 of']);
  });

  it('leaves a cursor and its last state when the process crashes', async () => {
    const terminal = openTerminal(80, 24);
    await terminal.order({ settled: 50 });
    terminal.last({ crash: true });
    await until(() => terminal.history().includes('the crash that was ordered'));
    expect(terminal.cursorIsVisible()).toBe(true);
    const text = terminal.history();
    expect(text.indexOf('50 of 100 rows')).toBeLessThan(text.indexOf('the crash that was ordered'));
  });
});

/** A pseudo terminal of 80 × 24 that keeps every byte that was written to it. */
async function bytesOf(env: Record<string, string>, size: string, ...orders: Order[]): Promise<string> {
  const { command, order, last } = stage();
  const words = command.map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qfec', `stty ${size}; exec ${words}`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], TERM: 'xterm-256color', ...env },
  });
  let bytes = '';
  child.stdout.on('data', (chunk: Buffer) => (bytes += chunk.toString()));
  const ended = new Promise((resolve) => child.once('close', resolve));
  for (const each of orders) await order(each);
  last({ close: true });
  await ended;
  return bytes;
}

const size = 'cols 80 rows 24';
const colors = /\u001B\[[\d;]*m/;

// macOS' script has other options.
describe.skipIf(process.platform !== 'linux')('what is written to a terminal', () => {
  it('has colours, unless NO_COLOR is set', async () => {
    expect(await bytesOf({}, size, { settled: 50 })).toMatch(colors);
    const plain = await bytesOf({ NO_COLOR: '1' }, size, { settled: 50 });
    expect(plain).toContain('50 of 100 rows');
    expect(plain).not.toMatch(colors);
  });

  it('never hides the cursor, and rewrites only what changes', async () => {
    const bytes = await bytesOf({}, size, { settled: 50 }, { settled: 50 }, { settled: 51 });
    expect(bytes).not.toContain('\u001B[?25l');
    expect(bytes.match(/50 of 100 rows/g)).toHaveLength(1);
    expect(bytes.match(/51 of 100 rows/g)).toHaveLength(1);
  });

  it('is nothing but words where the cursor cannot move or the terminal has no size', async () => {
    for (const [env, stty] of [
      [{ TERM: 'dumb' }, size],
      [{}, 'cols 0 rows 0'],
    ] as const) {
      const bytes = await bytesOf({ ...env }, stty, { settled: 50 }, { tell: 'said' });
      expect(bytes).toBe('Run r1: started\r\nsaid\r\n');
    }
  });
});
