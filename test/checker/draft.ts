import { createHash } from 'node:crypto';
import type { Random } from '../../src/simulator/chance.ts';
import type { Command, Scene } from './scene.ts';
import type { CallRecord, Result, Run, Summary } from './told.ts';

type Change<T> = (value: T) => unknown;
type Open<T> = { -readonly [K in keyof T]: T[K] };

/** A copy of what one output's commands left, to be spoiled. Where several things fit, chance picks one. */
export interface Draft {
  files: Map<string, Buffer>;
  state: Map<string, Buffer>;
  redis: Map<string, Buffer>;
  api: Scene['api'][number][];
  /** Ids of the runs, the oldest first. */
  runs: string[];
  /** As a scene again. */
  scene(): Scene;
  any<T>(things: readonly T[]): T;
  /** One of the files whose names fit. */
  file(fits: RegExp): string;
  drop(fits: RegExp): void;
  put(name: string, content: Buffer | string): void;
  text(name: string, change: (text: string) => string): void;
  lines(name: string, change: (lines: string[]) => string[]): void;
  json<T>(name: string, change: Change<T>): void;
  result(fits: (row: Result) => boolean, change: Change<Result>): void;
  summary(change: Change<Summary>): void;
  options(run: number, change: Change<Run['options']>): void;
  end(change: Change<NonNullable<Run['end']>>): void;
  /** A record that fits, and its file. */
  record(fits: (call: CallRecord) => boolean): { name: string; call: CallRecord };
  change(fits: (call: CallRecord) => boolean, change: Change<CallRecord>): void;
  write(call: CallRecord): void;
  command(change: Change<Open<Command>>): void;
}

/** @param scene with one output */
export function draftOf(scene: Scene, random: Random): Draft {
  const [[folder, files] = ['', new Map<string, Buffer>()]] = [...scene.outputs].map(
    ([name, content]) => [name, new Map(content)] as const,
  );
  const state = new Map(scene.state);
  const redis = new Map(scene.redis);
  const commands = structuredClone([...scene.commands]) as Open<Command>[];

  const any: Draft['any'] = (things) => {
    const thing = things[Math.floor(random() * things.length)];
    if (thing === undefined) throw new Error('there is none');
    return thing;
  };
  const file: Draft['file'] = (fits) => any([...files.keys()].filter((name) => fits.test(name)));
  const put: Draft['put'] = (name, content) => void files.set(name, Buffer.from(content));
  const text: Draft['text'] = (name, change) => put(name, change(String(files.get(name))));
  const lines: Draft['lines'] = (name, change) =>
    text(name, (all) => `${change(all.trimEnd().split('\n')).join('\n')}\n`);
  const json = <T>(name: string, change: Change<T>): void =>
    text(name, (all) => {
      const value = JSON.parse(all) as T;
      change(value);
      return JSON.stringify(value, null, 1);
    });
  const record: Draft['record'] = (fits) => {
    const names = [...files.keys()].filter((name) => name.startsWith('.reshoot/calls/')).sort();
    const calls = names.map((name) => ({ name, call: JSON.parse(String(files.get(name))) as CallRecord }));
    return any(calls.filter(({ call }) => fits(call)));
  };
  const runs = [...files.keys()]
    .flatMap((name) => /^\.reshoot\/runs\/([^/]+)\/run\.json$/.exec(name)?.[1] ?? [])
    .sort();

  const draft: Draft = {
    files,
    state,
    redis,
    api: structuredClone([...scene.api]),
    runs,
    scene: () => ({ ...scene, outputs: new Map([[folder, files]]), state, redis, api: draft.api, commands }),
    any,
    file,
    drop: (fits) => void files.delete(file(fits)),
    put,
    text,
    lines,
    json,
    result: (fits, change) =>
      lines('report/results.jsonl', (all) => {
        const rows = all.map((line) => JSON.parse(line) as Result);
        change(any(rows.filter(fits)));
        return rows.map((row) => JSON.stringify(row));
      }),
    summary: (change) => json('report/summary.json', change),
    options: (run, change) => json(`.reshoot/runs/${runs[run]}/run.json`, change),
    end: (change) => json(`.reshoot/runs/${runs.at(-1)}/end.json`, change),
    record,
    change: (fits, change) => json(record(fits).name, change),
    write: (call) => put(nameOf(call), JSON.stringify(call)),
    command: (change) => void change(any(commands)),
  };
  return draft;
}

function nameOf({ id, n }: CallRecord): string {
  const key = createHash('sha256').update(id).digest('hex').slice(0, 40);
  return `.reshoot/calls/${key.slice(0, 2)}/${key}/${n}.json`;
}
