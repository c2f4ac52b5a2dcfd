import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { main } from '../../src/cli.ts';
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
      .split(/(?<!\\)\|/)
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

describe('commands and options', () => {
  /** What a command prints as its help. */
  const help = async (...args: string[]): Promise<string> => {
    let said = '';
    const tell = (part: string): void => void (said += part);
    await main([...args, '--help'], {
      out: tell,
      err: tell,
      stop: new AbortController().signal,
      ask: undefined,
    });
    return said;
  };
  const cells = (heading: string): string[] => table(heading).map(([name = '']) => name);
  const longNames = (some: string): string[] => [...some.matchAll(/--[a-z][\w-]*/g)].map(([name]) => name);

  it('are those of README', async () => {
    const listed = [...(await help()).matchAll(/^ {2}([a-z]+)/gm)].map(([, name = '']) => name);
    const commands = cells('Commands').map((cell) => cell.split(' ')[0] ?? '');
    expect(commands).toContain('doctor');
    expect(sorted(commands)).toEqual(sorted(listed).filter((name) => name !== 'help'));
  });

  it('of check, run and submit are those of README, with their defaults', async () => {
    const shown = await help('run');
    const [options = ''] = /^Options:\n.*?\n\n/ms.exec(shown) ?? [];
    const rows = table('Options of check, run and submit');
    const inReadme = rows.flatMap(([names = '', values = '']) => {
      const defaults = values.split(', ');
      return longNames(names).map((name, at) => [name, defaults[at] ?? ''] as const);
    });
    // README shows a short name alone where the long one says no more.
    const known = sorted([...inReadme.map(([name]) => name), '--verbose', '--quiet']);
    expect(known).toEqual(sorted(longNames(options)).filter((name) => name !== '--help'));
    const inHelp = new Map(
      [...options.replaceAll(/\s+/g, ' ').matchAll(/(--[\w-]+) (?:(?! --).)*?\(default: "(.*?)"\)/g)].map(
        ([, name = '', value = '']) => [name, value] as const,
      ),
    );
    expect(inHelp.size).toBeGreaterThan(6);
    for (const [name, value] of inHelp)
      expect([name, Object.fromEntries(inReadme)[name]]).toEqual([name, value]);
  });

  it('each have a help that fits a screen and ends with an example', async () => {
    for (const cell of cells('Commands')) {
      const [command = ''] = cell.split(' ');
      const text = await help(command);
      expect(text).toMatch(new RegExp(`\\nExample:\\n +.*reshoot ${command}.*\\n$`));
      expect(text.split('\n').length).toBeLessThan(60);
    }
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
