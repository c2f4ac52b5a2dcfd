import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Cruise {
  errors: number;
  modules: number;
  violations: { rule: string; from: string; to: string }[];
}

/** What `npm run check:layers` sees in a folder. */
function cruise(folder: string): Cruise {
  const program = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const args = [program, 'src', 'workers', '--output-type', 'json'];
  const { stdout } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  const { summary } = JSON.parse(stdout) as {
    summary: {
      error: number;
      totalCruised: number;
      violations: { rule: { name: string }; from: string; to: string }[];
    };
  };
  const violations = summary.violations.map(({ rule, from, to }) => ({ rule: rule.name, from, to }));
  return { errors: summary.error, modules: summary.totalCruised, violations };
}

function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), 'reshoot-layers-'));
  onTestFinished(() => rmSync(copy, { recursive: true }));
  for (const name of ['src', 'workers', '.dependency-cruiser.cjs', 'package.json', 'tsconfig.json']) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

it('finds nothing in this tree, having seen it', { timeout: 30_000 }, () => {
  const { modules, violations } = cruise(root);
  expect(violations).toEqual([]);
  expect(modules).toBeGreaterThan(20);
});

it('finds every planted violation', { timeout: 30_000 }, () => {
  const plants = [
    { rule: 'concerns-never-meet', from: 'src/report/text.ts', to: 'src/manifest/names.ts' },
    { rule: 'concerns-look-down', from: 'src/manifest/names.ts', to: 'src/batch/output.ts' },
    { rule: 'batch-looks-down', from: 'src/batch/output.ts', to: 'src/commands/simulate.ts' },
    { rule: 'settings-look-down', from: 'src/config.ts', to: 'src/report/exit.ts' },
    { rule: 'foundation-stands-alone', from: 'src/cells.ts', to: 'src/config.ts' },
    {
      rule: 'interfaces-import-no-implementation',
      from: 'src/storage/storage.ts',
      to: 'src/storage/local.ts',
    },
    { rule: 'nobody-imports-entries', from: 'src/storage/open.ts', to: 'workers/decode.ts' },
    { rule: 'no-orphans', from: 'src/orphan.ts', to: 'src/orphan.ts' },
  ];
  const copy = copyTree();
  writeFileSync(join(copy, 'src/orphan.ts'), 'export {};\n');
  for (const { from, to } of plants.filter(({ from, to }) => from !== to)) {
    const up = '../'.repeat(from.split('/').length - 1);
    appendFileSync(join(copy, from), `import type {} from '${up || './'}${to}';\n`);
  }
  const doors = ['bullmq', 'ioredis', 'undici', 'sharp', 'commander', 'csv-parse', 'zod', 'pino'];
  for (const library of doors) appendFileSync(join(copy, 'src/report/exit.ts'), `import '${library}';\n`);
  appendFileSync(join(copy, 'src/image/kind.ts'), `import 'csv-stringify';\n`);
  appendFileSync(join(copy, 'src/model.ts'), `import type {} from './errors.ts';\n`);

  const { errors, violations } = cruise(copy);
  expect(errors).toBe(violations.length);
  expect(violations).toEqual(expect.arrayContaining(plants.map((plant) => expect.objectContaining(plant))));
  const cycles = violations.filter(({ rule }) => rule === 'no-cycles');
  expect(cycles.map(({ from, to }) => [from, to].sort())).toContainEqual(['src/errors.ts', 'src/model.ts']);
  const found = violations.map(({ rule }) => rule);
  expect(found).toEqual(expect.arrayContaining([...doors, 'csv-stringify'].map((name) => `door-${name}`)));
});
