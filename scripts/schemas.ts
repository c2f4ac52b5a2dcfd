/** JSON Schemas of manifest and configuration, made from the code: `npm run schemas` writes them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { planFlags } from '../src/cli.ts';
import { configSchema, manifestSchema } from '../src/commands/schemas.ts';

/** By the names of their files below `docs/schema/`. */
export const schemas = {
  'manifest.json': manifestSchema(),
  'reshoot.json': configSchema(planFlags(new Command()).options),
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = fileURLToPath(new URL('../docs/schema', import.meta.url));
  await mkdir(folder, { recursive: true });
  for (const [name, schema] of Object.entries(schemas))
    await writeFile(join(folder, name), `${JSON.stringify(schema, null, 2)}\n`);
}
