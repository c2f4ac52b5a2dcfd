import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { codes, exitCodes } from '../../src/errors.ts';

const text = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
const readme = text('README.md');

/** The cells of the table below a heading, without its head, its rule and the marks of code. */
function table(heading: string): string[][] {
  const section = readme.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
}

const sorted = (names: Iterable<string>): string[] => [...new Set(names)].sort();

describe('README says what the code does', () => {
  it('error codes, with what happens, charge and meaning', () => {
    const inCode = Object.entries(codes).map(([code, { disposition, charged, says }]) => [
      code,
      disposition,
      charged,
      says,
    ]);
    expect(table('Error codes')).toEqual(inCode);
  });

  it('what each disposition means', () => {
    const used = Object.values(codes).map(({ disposition }) => disposition);
    expect(sorted(table('What happens').map(([name = '']) => name))).toEqual(sorted(used));
  });

  it('exit codes', () => {
    const listed = table('Exit codes').flatMap(([code = '']) => code.split(' / '));
    expect(sorted(listed)).toEqual(sorted(Object.values(exitCodes).map(String)));
  });
});

describe('settings of the environment', () => {
  /** Read, but nobody's to set for reshoot's sake. */
  const system = ['NODE_TLS_REJECT_UNAUTHORIZED', 'XDG_RUNTIME_DIR', 'XDG_STATE_HOME'];
  const names = [...text('src/config.ts').matchAll(/'([A-Z][A-Z\d]*(?:_[A-Z\d]+)+)'/g)].map(
    ([, name = '']) => name,
  );
  const read = sorted(names).filter((name) => !system.includes(name));

  it('are found in the source', () => {
    expect(read).toContain('REDIS_URL');
    expect(sorted(names)).toEqual(expect.arrayContaining(system));
  });

  it('are those of README', () => {
    expect(sorted(table('Environment').flatMap(([cell = '']) => cell.split(', ')))).toEqual(read);
  });

  it('are those of .env.example', () => {
    const assigned = [...text('.env.example').matchAll(/^#?([A-Z_]+)=/gm)].map(([, name = '']) => name);
    expect(sorted(assigned)).toEqual(read);
  });
});
