import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { RecordFiles } from './files.ts';

const name = '.reshoot/store.json';
const schema = z.object({ v: z.literal(1), id: z.string() });

/** The output's own id, made at its first use: tells a worker that it sees the very folder a job means. */
export async function storeId(files: RecordFiles): Promise<string> {
  await files.create(name, `${JSON.stringify({ v: 1, id: randomUUID() })}\n`);
  const text = await files.read(name);
  return schema.parse(JSON.parse((text ?? '').toString('utf8'))).id;
}
