import { checkUp } from '../batch/checkup.ts';
import { version, type Config } from '../config.ts';
import { exitCodes, type ExitCode } from '../errors.ts';
import type { Io } from './io.ts';

export interface DoctorFlags {
  output?: string;
}

const marks = { good: 'ok   ', worry: 'WORRY', bad: 'BAD  ' };

/** Looks at all that a run needs beside its manifest, and says what is wrong. Ends with 1 when something is bad. */
export async function doctor(flags: DoctorFlags, config: Config, io: Io): Promise<ExitCode> {
  io.out(`reshoot ${version} on Node ${process.versions.node}, ${process.platform}\n`);
  const looked = await checkUp(config, flags.output);
  for (const { is, about, says } of looked) io.out(`${marks[is]}  ${about.padEnd(7)}  ${says}\n`);
  return looked.some(({ is }) => is === 'bad') ? exitCodes.fault : exitCodes.ok;
}
