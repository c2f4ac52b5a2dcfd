import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { applyConfigFile } from '../../src/commands/config-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'config-file-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The options of a command that was given these words in a folder with this `reshoot.yaml`. */
function options(yaml: string | Buffer, words: string[] = []): Record<string, unknown> {
  writeFileSync(join(folder, 'reshoot.yaml'), yaml);
  let found: Record<string, unknown> = {};
  new Command('run')
    .option('--size <SIZE>', '', '2K')
    .option('--ratio <RATIO>')
    .option('--prompt <TEXT>')
    .option('--ids <A,B>')
    .option('--max-credits <N>')
    .option('--map <FIELD=COLUMN>', '', (value: string, before: string[]) => [...before, value], [])
    .option('--skip-invalid')
    .addOption(new Option('-q, --quiet').conflicts('verbose'))
    .option('-v, --verbose')
    .exitOverride()
    .hook('preAction', (_, command) => void applyConfigFile(command, folder))
    .action((flags: Record<string, unknown>) => void (found = flags))
    .parse(words, { from: 'user' });
  return found;
}

const refusal = (yaml: string | Buffer): string => {
  try {
    return JSON.stringify(options(yaml));
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
};

describe('reshoot.yaml', () => {
  it('stands between the command line and the defaults', () => {
    expect(options('# nothing\n')).toEqual({ size: '2K', map: [] });
    expect(options('size: 4K\nmax-credits: 3000\nskip-invalid: true\n')).toEqual({
      size: '4K',
      map: [],
      maxCredits: '3000',
      skipInvalid: true,
    });
    expect(options('size: 4K\nmax-credits: 3000', ['--size', '1K'])).toMatchObject({
      size: '1K',
      maxCredits: '3000',
    });
    // Given as the default, it is given all the same.
    expect(options('size: 4K', ['--size', '2K'])).toMatchObject({ size: '2K' });
  });

  it('keeps values as they are written', () => {
    expect(options('\uFEFFratio: 16:9\nids: [00123, 1E5, 0x1F]\nprompt: |\n  red\n  shoe\n')).toMatchObject({
      ratio: '16:9',
      ids: '00123,1E5,0x1F',
      prompt: 'red\nshoe\n',
    });
    expect(options('ids: 007\nprompt: "true"\nskip-invalid: false')).toMatchObject({
      ids: '007',
      prompt: 'true',
      skipInvalid: false,
    });
  });

  it('maps fields to columns in three ways, and the command line maps them anew', () => {
    expect(options('map:\n  id: SKU\n  image: Image Src\n  size: ""\n')).toMatchObject({
      map: ['id=SKU', 'image=Image Src', 'size='],
    });
    expect(options('map: [id=SKU, "image=Image Src"]')).toMatchObject({ map: ['id=SKU', 'image=Image Src'] });
    expect(options('map: id=SKU', ['--map', 'id=EAN'])).toMatchObject({ map: ['id=SKU', 'id=EAN'] });
  });

  it('gives way to a switch that excludes its own', () => {
    expect(options('quiet: true', ['-v'])).toEqual({ size: '2K', map: [], verbose: true });
    expect(options('quiet: true')).toMatchObject({ quiet: true });
    expect(refusal('quiet: true\nverbose: true')).toMatch(/^UsageError.*exclude each other/);
  });

  it('is refused with line and column for what is no setting', () => {
    expect(refusal('size: 2K\nsise: 4K')).toBe(
      'UsageError: reshoot.yaml:2:1: "sise" is no setting: did you mean "size"?',
    );
    expect(refusal('max_credits: 3')).toContain('did you mean "max-credits"?');
    expect(refusal('map:\n  colour: x')).toMatch(
      /^UsageError: reshoot.yaml:2:3: map: "colour" is none of id,/,
    );
    expect(refusal('redis-url: redis://x')).toContain('put it into .env');
    expect(refusal('__proto__: x')).toContain('is no setting');
  });

  it('is refused with line and column for a value of the wrong kind', () => {
    expect(refusal('size: [2K]')).toMatch(/^UsageError: reshoot.yaml:1:7: size takes one value/);
    expect(refusal('skip-invalid: yes')).toMatch(
      /^UsageError: reshoot.yaml:1:15: skip-invalid is true or false/,
    );
    for (const empty of ['prompt:', 'prompt: null', 'prompt: ~', 'prompt: true']) {
      expect(refusal(empty)).toMatch(/^UsageError: reshoot.yaml:1:\d: prompt needs a value/);
    }
    expect(refusal('- size')).toMatch(/^UsageError: reshoot.yaml:1:1: write a setting a line/);
    expect(refusal('size')).toMatch(/^UsageError: reshoot.yaml:1:1: write a setting a line/);
  });

  it('is refused with line and column for a value that the option does not take', () => {
    expect(refusal('ratio: 1:1\nsize: 9K')).toMatch(
      /^UsageError: reshoot.yaml:2:7: size: 9K: write 1K, 2K, 4K, or width x height/,
    );
    expect(refusal('max-credits: 0')).toMatch(
      /^UsageError: reshoot.yaml:1:14: max-credits: 0: write a whole/,
    );
    expect(refusal('ratio: 2:1')).toMatch(/^UsageError: reshoot.yaml:1:8: ratio: 2:1: write one of 1:1,/);
  });

  it('tells all its mistakes at once, in the order of its lines', () => {
    const said = refusal('size: 9K\nsise: 4K\nmap:\n  colour: x\n  shape: y\nskip-invalid: 1\nsize: 2K');
    expect(said.split('\n').map((line) => line.trim().split(': ').slice(0, 2).join())).toEqual([
      'UsageError,reshoot.yaml has 6 mistakes:',
      'reshoot.yaml:1:7,size',
      'reshoot.yaml:2:1,"sise" is no setting',
      'reshoot.yaml:4:3,map',
      'reshoot.yaml:5:3,map',
      'reshoot.yaml:6:15,skip-invalid is true or false',
      'reshoot.yaml:7:1,this setting stands here twice',
    ]);
  });

  it('loses no part of a prompt to YAML’s marks', () => {
    for (const text of [
      'on white # 1',
      '*bold* red',
      '&Co shoe',
      '!new shoe',
      '{{Title}} on white',
      'a: b',
      '[x] y',
    ]) {
      expect(refusal(`prompt: ${text}`)).toMatch(/^UsageError: reshoot.yaml:1:\d+: .*quotation marks/);
      expect(options(`prompt: "${text}"`)).toMatchObject({ prompt: text });
    }
  });

  it('holds no key, and shows none that stands in it', () => {
    for (const name of ['api-key', 'SPIDERHUBS_API_KEY', 'token', 'password']) {
      const said = refusal(`${name}: sk_live_secret`);
      expect(said).toMatch(/^UsageError: reshoot.yaml:1:1: keys and secrets have no place/);
      expect(said).not.toContain('sk_live');
    }
    expect(refusal('size: 2K\n  api-key: sk_live_secret')).not.toContain('sk_live');
  });

  it('is refused when it is no plain YAML of its kind', () => {
    expect(refusal('size: 2K\nsize: 4K')).toMatch(/reshoot.yaml:2:1: this setting stands here twice/);
    expect(refusal('size: 2K\n---\nsize: 4K')).toMatch(/reshoot.yaml:2:1: a second document/);
    expect(refusal('size: "2K')).toMatch(/^UsageError: reshoot.yaml:1:/);
    expect(refusal(Buffer.from('prompt: caf\xE9', 'latin1'))).toMatch(/^UsageError: .*not UTF-8/);
    expect(refusal('#'.repeat(70_000))).toMatch(/^UsageError: .*64 KB/);
    const bomb = `a: &a [x]\n${Array.from({ length: 20 }, (_, i) => `b${i}: &b${i} [*a, *a]`).join('\n')}`;
    expect(refusal(bomb)).toMatch(/\n {2}reshoot.yaml:1:1: "a" is no setting/);
  });

  it('may be absent, but is not called reshoot.yml', () => {
    const empty = mkdtempSync(join(folder, 'empty-'));
    expect(applyConfigFile(new Command(), empty)).toEqual([]);
    writeFileSync(join(empty, 'reshoot.yml'), 'size: 2K');
    expect(() => applyConfigFile(new Command(), empty)).toThrow(/rename it to reshoot.yaml/);
  });
});
