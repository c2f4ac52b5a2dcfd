import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

/** What one cell of the matrix has measured, in the simulator's log. */
export interface Cell {
  counting: string;
  processes: number;
  accounts: number;
  scenario: string;
  /** Ours, refused ones included. */
  calls: number;
  refused: number;
  /** Share of the limit used, 0 to 1. */
  used: number;
  /**
   * The latest that the simulator counted a call after it was stamped, in milliseconds. More than the guard, a 120th of
   * the window, is what brings refusals; on a busy machine that is the simulator's own fault.
   */
  lateMs: number;
  /** Share of somebody else's calls that was served. */
  others?: number;
}

declare module 'vitest' {
  interface TaskMeta {
    cell?: Cell;
  }
}

/** Prints the cells as a table and writes them as JSON, also those that failed. */
export function tableReporter(file: string): Reporter {
  return {
    async onTestRunEnd(modules: readonly TestModule[]) {
      const tests = modules.flatMap((module) => [...module.children.allTests()]);
      const cells = tests.flatMap((test) => test.meta().cell ?? []);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, `${JSON.stringify(cells, undefined, 2)}\n`);
      process.stdout.write(`${[heading, ...cells.map(lineOf)].join('\n')}\n\n${file}\n`);
    },
  };
}

const heading = 'counting  procs  accounts  calls  refused  used %  late ms  scenario';

function lineOf(cell: Cell): string {
  const { counting, processes, accounts, calls, refused, used, lateMs, others, scenario } = cell;
  const cells = [counting.padEnd(8), pad(processes, 5), pad(accounts, 8), pad(calls, 5), pad(refused, 7)];
  const what =
    others === undefined ? scenario : `${scenario}; ${(others * 100).toFixed(0)} % of theirs served`;
  return [...cells, pad((used * 100).toFixed(1), 6), pad(lateMs.toFixed(0), 7), what].join('  ');
}

const pad = (value: number | string, width: number): string => String(value).padStart(width);
