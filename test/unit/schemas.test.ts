import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { schemas } from '../../scripts/schemas.ts';

const fileOf = (name: string): string =>
  readFileSync(new URL(`../../docs/schema/${name}`, import.meta.url), 'utf8');
const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
const isConfig = ajv.compile(schemas['reshoot.json']);
const isManifest = ajv.compile(schemas['manifest.json']);

describe('the published JSON Schemas', () => {
  it.each(Object.entries(schemas))('are what the code says: %s (npm run schemas)', (name, schema) => {
    expect(JSON.parse(fileOf(name))).toEqual(schema);
  });

  it('take a configuration of every option, and none that is unknown or wrong', () => {
    const config = parse(`
size: 1024x768
ratio: '4:3'
route: 2
map: { id: SKU, image: Image Src }
ids: [A1, A2]
skip-invalid: true
retry-budget: 10%
halt: fail=5%
concurrency: auto
creditPrice: 0.04 USD
maxCreditsPerDay: 500
`) as object;
    expect([isConfig(config), isConfig.errors]).toEqual([true, null]);
    for (const wrong of [
      { szie: '2K' },
      { size: 'huge' },
      { route: 3 },
      { map: { sku: 'SKU' } },
      { 'skip-invalid': 'yes' },
    ])
      expect(isConfig(wrong)).toBe(false);
  });

  it('take manifests as the README shows them', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const shown = [...readme.matchAll(/```yaml\n([^]*?)```/g)].map(([, text = '']) => parse(text) as object);
    const manifests = shown.filter((document) => 'rows' in document);
    expect(manifests.length).toBeGreaterThan(0);
    for (const manifest of manifests) expect([isManifest(manifest), isManifest.errors]).toEqual([true, null]);
    expect(isManifest([{ 编号: '00123', 图片: 'a.jpg', 提示词: 'x', own: { nested: 1 } }])).toBe(true);
    for (const wrong of [{}, [{ ratio: '5:7' }], { rows: [], default: {} }])
      expect(isManifest(wrong)).toBe(false);
  });
});
