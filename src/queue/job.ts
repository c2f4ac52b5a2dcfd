import { z } from 'zod';

const common = {
  v: z.literal(1),
  run: z.string().regex(/^[\w-]{1,60}$/),
  output: z.string().max(4096),
  store: z.string(),
  origin: z.string(),
};

export const jobSchema = z.discriminatedUnion('kind', [
  z.object({
    ...common,
    kind: z.literal('row'),
    place: z.object({
      row: z.number().int().positive(),
      from: z.number().int().nonnegative(),
      length: z.number().int().positive(),
    }),
  }),
  z.object({ ...common, kind: z.literal('finish') }),
]);

/** A job's data: a pointer to a row of a plan, never its content. Version 1. */
export type Job = z.infer<typeof jobSchema>;

/** No integer and without a colon, as BullMQ wants it; the run stands first, so that its jobs are told by name. */
export function jobId(job: Job): string {
  return `${job.run}.${job.kind === 'row' ? job.place.row : 'finish'}`;
}

/** Is it the id of a job that ends its run? */
export const isFinish = (id: string): boolean => id.endsWith('.finish');

/** The run a job's id belongs to. */
export const runOf = (id: string): string => id.slice(0, id.lastIndexOf('.'));
