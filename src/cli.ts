import { Command, CommanderError, Option } from 'commander';
import type { Tuning } from './batch/work.ts';
import { applyConfigFile } from './commands/config-file.ts';
import type { DoctorFlags } from './commands/doctor.ts';
import type { Io } from './commands/io.ts';
import type { LimitFlags, PlanFlags } from './commands/plan-options.ts';
import type { RetryFlags } from './commands/retry.ts';
import type { SimulateOptions } from './commands/simulate.ts';
import type { StatusFlags } from './commands/status.ts';
import type { WaitFlags } from './commands/wait.ts';
import type { WorkerFlags } from './commands/worker.ts';
import { loadDotEnv, readConfig, version } from './config.ts';
import { exitCodes, SurroundingsError, UsageError, type ExitCode } from './errors.ts';

/** Loaded when they are called: a command that only looks needs neither queue nor pictures, and is to answer at once. */
const commands = {
  check: () => import('./commands/check.ts'),
  doctor: () => import('./commands/doctor.ts'),
  init: () => import('./commands/init.ts'),
  report: () => import('./commands/report.ts'),
  retry: () => import('./commands/retry.ts'),
  run: () => import('./commands/run.ts'),
  simulate: () => import('./commands/simulate.ts'),
  status: () => import('./commands/status.ts'),
  steer: () => import('./commands/steer.ts'),
  submit: () => import('./commands/submit.ts'),
  wait: () => import('./commands/wait.ts'),
  worker: () => import('./commands/worker.ts'),
};

const promised = ['serve'];

/**
 * The command line: parses, calls one command, turns what it throws into a message and an exit code.
 * @param args without node and script
 * @param tuning for tests and measurements
 */
export async function main(args: string[], io: Io, tuning: Tuning = {}): Promise<ExitCode> {
  let code: ExitCode = exitCodes.ok;
  const done = (result: ExitCode): void => void (code = result);
  try {
    if (process.platform === 'win32') {
      throw new UsageError(
        'reshoot runs on Linux and macOS; on Windows use WSL2 (wsl --install), or the container image',
      );
    }
    loadDotEnv();
    await program(io, tuning, done).parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    return explain(error, io);
  }
}

function explain(error: unknown, io: Io): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof UsageError || error instanceof SurroundingsError) {
    io.err(`reshoot: ${error.message}\n`);
    return error instanceof UsageError ? exitCodes.usage : exitCodes.fault;
  }
  io.err(
    `reshoot: a fault of the program, please report it: ${error instanceof Error ? error.stack : String(error)}\n`,
  );
  return exitCodes.fault;
}

function program(io: Io, tuning: Tuning, done: (code: ExitCode) => void): Command {
  const cli = new Command('reshoot')
    .description('Re-shoots a catalogue without a camera: bulk image editing from a manifest.')
    .version(version)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: io.err });

  const plan = (name: string): Command =>
    planFlags(
      cli
        .command(name)
        .argument('<manifest>', 'a CSV, TSV, JSON, YAML or XLSX file, - or a folder of pictures'),
    ).hook('preAction', (_, command) => applyConfig(command, io));
  plan('check')
    .description('read and validate everything, say what it would cost; spends nothing')
    .action(async (file: string, flags: PlanFlags) =>
      done(await (await commands.check()).check(file, flags, readConfig(), io)),
    );
  plan('run')
    .description('check, plan, work, report; run it again to go on')
    .action(async (file: string, flags: PlanFlags) =>
      done(await (await commands.run()).run(file, flags, readConfig(), io, tuning)),
    );
  plan('submit')
    .description('check and plan, leave the work to workers, print the run')
    .action(async (file: string, flags: PlanFlags) =>
      done(await (await commands.submit()).submit(file, flags, readConfig(), io)),
    );
  limitFlags(
    cli
      .command('retry')
      .description('do failed, held or named rows of an output again')
      .argument('<output>', 'the folder that a run wrote into')
      .option(
        '--status <A,B>',
        'rows that ended so (done ones are paid for again); failed and held unless told',
      )
      .option('--code <A,B>', 'rows that failed with these error codes')
      .option('--ids <A,B>', 'these rows; done ones are paid for again')
      .option('--route <N>', 'send them on this route: 1 or 2')
      .option('--prompt <TEXT>', 'send them with this prompt; {{column}} is filled in'),
  )
    .hook('preAction', (_, command) => applyConfig(command, io, limitFlags(new Command()).options))
    .action(async (output: string, flags: RetryFlags) =>
      done(await (await commands.retry()).retry(output, flags, readConfig(), io, tuning)),
    );
  cli
    .command('worker')
    .description('work on whatever run there is until stopped')
    .option('--drain', 'stop when there is nothing to do')
    .option('--concurrency <N|auto>', 'calls in flight', 'auto')
    .action(async (flags: WorkerFlags) =>
      done(await (await commands.worker()).worker(flags, readConfig(), io, tuning)),
    );
  runCommands(cli, io, done);
  cli
    .command('report')
    .description('make the report again from plan and records')
    .argument('<output>', 'the folder that a run wrote into')
    .option('--json', 'print the summary as JSON')
    .action(async (output: string, flags: { json?: boolean }) =>
      done(await (await commands.report()).report(output, flags, io)),
    );
  cli
    .command('simulate')
    .description("a stand-in for the API; its pictures aren't the model's")
    .option('--port <N>', 'port on 127.0.0.1', Number, 4141)
    .option('--latency <T>', 'a call takes this long: 2s or 1s-3s', '2s')
    .option('--limit <N>', 'calls an account in a window', Number, 30)
    .option('--window <T>', 'length of the window', '60s')
    .option('--faults <LIST>', 'faults by chance, such as 503=1%,reset=0.5%')
    .option('--credits <N>', 'credits an account; endless unless told', Number)
    .option('--seed <N>', 'the same seed, the same faults', Number, 1)
    .action(async (flags: SimulateOptions) =>
      done(await (await commands.simulate()).simulate(flags, io, io.stop)),
    );
  cli
    .command('init')
    .description('write a starter manifest, a configuration and a .env')
    .argument('[dir]', 'the folder for them', '.')
    .action(async (dir: string) => done(await (await commands.init()).init(dir, io)));
  cli
    .command('doctor')
    .description('look at Redis, key, output, memory and decoder; calls nobody')
    .option('-o, --output <URI>', 'an output to look at too')
    .action(async (flags: DoctorFlags) =>
      done(await (await commands.doctor()).doctor(flags, readConfig(), io)),
    );
  for (const command of cli.commands)
    command.addHelpText('after', `\nExample:\n  ${examples[command.name()] ?? ''}`);
  for (const name of promised) {
    cli
      .command(name, { hidden: true })
      .allowUnknownOption()
      .allowExcessArguments()
      .action(() => {
        throw new UsageError(`${name}: not yet; reshoot --help lists what there is`);
      });
  }
  return cli;
}

/** Gives a command what `reshoot.yaml` says; of a command without a manifest that is what bounds its calls. */
function applyConfig(command: Command, io: Io, taken = command.options): void {
  const set = applyConfigFile(command, '.', taken, planFlags(new Command()).options);
  if (set.length > 0 && !command.opts<LimitFlags>().quiet)
    io.err(`Settings of reshoot.yaml: ${set.join(', ')}\n`);
}

/** What is done about a run that is there already. */
function runCommands(cli: Command, io: Io, done: (code: ExitCode) => void): void {
  cli
    .command('status')
    .description('how all runs stand, a run, its rows, or one row with all its calls')
    .argument('[run]', 'its id')
    .argument('[row]', "a row's id")
    .option('--rows <STATE>', 'the rows of this state: failed, waiting … or all; unknown: perhaps paid')
    .option('--json', 'JSON on standard output')
    .action(async (run: string | undefined, row: string | undefined, flags: StatusFlags) =>
      done(await (await commands.status()).status(run, row, flags, readConfig(), io)),
    );
  cli
    .command('wait')
    .description("wait for a run's end; exits as the run does")
    .argument('<run>', 'its id')
    .option('--json', 'print the summary as JSON')
    .option('-q, --quiet', 'no progress')
    .action(async (run: string, flags: WaitFlags) =>
      done(await (await commands.wait()).wait(run, flags, readConfig(), io)),
    );
  const does = {
    pause: 'no further call until it is resumed; those in flight are finished',
    resume: 'go on with a paused run',
    cancel: 'no further call, ever; those in flight are finished and kept',
  };
  for (const name of ['pause', 'resume', 'cancel'] as const) {
    cli
      .command(name)
      .description(does[name])
      .argument('<run>', 'its id')
      .action(async (run: string) => done(await (await commands.steer())[name](run, readConfig(), io)));
  }
}

/** An example below a command's help. */
const examples: Record<string, string> = {
  check: 'reshoot check shop.csv -o out',
  run: "reshoot run photos -o out --prompt 'The same product on plain white' --max-credits 500",
  submit: 'run=$(reshoot submit shop.csv -o out) && reshoot wait "$run"',
  worker: 'reshoot worker --drain',
  status: 'reshoot status r20261123T043829198-4f84a9 --rows failed',
  wait: 'reshoot wait r20261123T043829198-4f84a9',
  pause: 'reshoot pause r20261123T043829198-4f84a9',
  resume: 'reshoot resume r20261123T043829198-4f84a9',
  cancel: 'reshoot cancel r20261123T043829198-4f84a9',
  report: 'reshoot report out',
  retry: 'reshoot retry out --status held',
  simulate: 'reshoot simulate --latency 1s-3s --faults 503=1%,reset=1%',
  init: 'reshoot init shop',
  doctor: 'reshoot doctor -o out',
};

/** The options of `check`, `run` and `submit`, which `reshoot.yaml` may hold as well. */
export function planFlags(command: Command): Command {
  const repeat = (value: string, before: string[]): string[] => [...before, value];
  command
    .option('-o, --output <URI>', 'folder for pictures, records and the report')
    .option('--name <TEMPLATE>', 'output name; columns in braces', '{id}.{ext}')
    .option('--map <FIELD=COLUMN>', 'which column is which; repeatable', repeat, [])
    .option('--image-root <DIR>', "where relative pictures start; the manifest's folder unless told")
    .option('--encoding <NAME>', 'of a manifest that is not Unicode')
    .option('--format <NAME>', 'csv, tsv, jsonl, json, yaml, xlsx; by the file name unless told')
    .option('--sheet <NAME>', 'of a workbook; the first one unless told')
    .option('--each-picture', 'every picture of a product is a row: mug, mug-2 ...')
    .option('--prompt <TEXT>', 'prompt for rows without one; {{column}} is filled in')
    .option('--size <SIZE>', 'for rows without: 1K, 2K, 4K or WxH', '2K')
    .option('--ratio <RATIO>', 'for rows without: 1:1, 16:9, 9:16, 4:3, 3:4', '1:1')
    .option('--route <N>', 'for rows without: 1 or 2', '1')
    .option('--limit <N>', 'only the first N rows, done or not')
    .option('--ids <A,B>', 'only these rows')
    .option('--input-max <PX>', 'longest side of what is sent')
    .option('--inputs <HOW>', 'url; strict: refuse pictures that would have to be changed')
    .option('--skip-invalid', 'leave out rows that the manifest gets wrong')
    .option('--force', 'do rows again, and pay for them again, although they are done')
    .option('-n, --dry-run', 'as check');
  return limitFlags(command);
}

/** The options of every command that makes calls. */
function limitFlags(command: Command): Command {
  return command
    .option('--max-attempts <N>', 'calls a row; 429 and calls that were not sent are free', '4')
    .option('--max-credits <N>', 'hard cap: calls charged or unknown never exceed it')
    .option('--retry-budget <P%>', 'extra paid calls: this share of the rows chosen, plus 10', '10%')
    .option('--on-unknown <retry|hold>', 'a call that may be paid: try again, or keep the row as held')
    .option('--halt <fail=P%>', 'stop when this share of at least 20 finished rows failed')
    .option('--concurrency <N|auto>', 'calls in flight in this process', 'auto')
    .option('--timeout <T>', 'one call, whole', '300s')
    .option('-y, --yes', 'no question above 100 credits')
    .option('--json', 'one JSON document on standard output')
    .addOption(new Option('-q, --quiet', 'less on standard error').conflicts('verbose'))
    .option('-v, --verbose', 'more on standard error');
}
