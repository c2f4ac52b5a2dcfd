import { planRun } from '../batch/plan.ts';
import { expectSoundRedis } from '../batch/sound-redis.ts';
import type { Config } from '../config.ts';
import { exitCodes, type ExitCode } from '../errors.ts';
import { check } from './check.ts';
import type { Io } from './io.ts';
import type { PlanFlags } from './plan-options.ts';
import { prepare } from './prepare.ts';
import { beginning, warnings } from './run.ts';
import { nobodyWorks } from './steer.ts';
import { signalCode } from './stopping.ts';
import { withDesks } from './with-desks.ts';

/** Checks and plans, leaves the run to the workers, and prints its id. */
export async function submit(file: string, flags: PlanFlags, config: Config, io: Io): Promise<ExitCode> {
  if (flags.dryRun) return check(file, flags, config, io);
  const prepared = await prepare('submit', file, flags, config, io);
  if (!prepared) return exitCodes.usage;
  const { options, checked, due } = prepared;
  return withDesks(config, async (desks) => {
    const worries = config.redisUrl === undefined ? [] : await expectSoundRedis(desks);
    const output = await prepared.openOutput();
    const order = { ...options, submitted: true, stop: io.stop };
    const planned = await planRun(checked, output, order, desks);
    checked.draft.close();
    if (!planned) {
      io.err('Nothing was submitted.\n');
      return signalCode(io.stop);
    }
    await desks.accounts.probe();
    const { run, rows } = planned;
    io.out(flags.json ? `${JSON.stringify({ run, rows, to_do: due }, null, 2)}\n` : `${run}\n`);
    if (!flags.quiet) io.err(warnings(worries) + beginning(planned));
    if ((await desks.desk.living()).length === 0) io.err(nobodyWorks);
    return exitCodes.ok;
  });
}
