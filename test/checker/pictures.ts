import { createHash } from 'node:crypto';
import sharp from 'sharp';
import type { Command, Violation } from './scene.ts';
import { answerOf, callsOf, isTemporary, nameOf, type CallRecord, type Result, type Told } from './told.ts';

interface Size {
  width: number;
  height: number;
}

/** Of every content that was ever looked into; undefined: it is no whole picture. */
const sizes = new Map<string, Promise<Size | undefined>>();

/** Errors of answers that were bytes, though no picture. */
const useless = new Set(['not_a_picture', 'cut_picture', 'decoder_died']);

/** Types that are looked into; of others nobody here can. */
const decodable = new Set(['jpeg', 'png', 'webp', 'gif', 'tiff'].map((type) => `image/${type}`));

const isDone = ({ status }: Result): boolean => status === 'succeeded' || status === 'skipped';

/**
 * I2: at final names there are whole pictures that were asked for there, and no paid byte is gone. I9: nothing is left of
 * what was on its way.
 */
export async function* checkPictures(told: Told, commands: readonly Command[]): AsyncGenerator<Violation> {
  const wrong = (said: string): Violation => ({ invariant: 'I2', said: `${told.folder}: ${said}` });
  const records = [...told.stories.values()].flat();
  for (const row of told.report?.results ?? []) if (isDone(row)) yield* checkRow(row);
  yield* checkNames();
  yield* checkKept();
  yield* checkLeftovers(told, records, commands);

  /** A row that is done has its picture, which is what the report says. */
  async function* checkRow(row: Result): AsyncGenerator<Violation> {
    const content = row.output === null ? undefined : told.files.get(row.output);
    if (!content || row.sha256 === null)
      return yield wrong(`row ${row.id} is ${row.status}, and its picture is not there`);
    if (hashOf(content) !== row.sha256 || content.length !== row.bytes)
      return yield wrong(`row ${row.id}: ${row.output} is not the picture that was reported`);
    const isDecoded = decodable.has(row.mime ?? '');
    const size = isDecoded ? await sizeOf(content, row.sha256) : undefined;
    if (isDecoded && !size) yield wrong(`row ${row.id}: ${row.output} is no whole picture`);
    if (size && (size.width !== row.width || size.height !== row.height))
      yield wrong(
        `row ${row.id}: ${row.output} is ${size.width}x${size.height}, reported ${row.width}x${row.height}`,
      );
  }

  /** Every file at a final name is a picture that some record puts there. */
  function* checkNames(): Generator<Violation> {
    const meant = new Set(
      records.flatMap(({ closed }) => placeOf(closed?.picture?.sha256, closed?.picture?.output)),
    );
    for (const { sha256, output } of told.report?.results ?? [])
      for (const place of placeOf(sha256, output)) meant.add(place);
    for (const { notes } of told.runs) {
      for (const { output, paid_by: payer } of notes.values()) {
        const call = told.stories.get(payer?.id ?? '')?.find(({ n }) => n === payer?.n);
        for (const place of placeOf(call?.closed?.picture?.sha256, output)) meant.add(place);
      }
    }
    const known = new Set(records.flatMap(({ closed }) => closed?.picture?.sha256 ?? []));
    for (const [sha256, names] of told.pictures) {
      for (const name of names) {
        const aside = /^\.reshoot\/replaced\/.*~([0-9a-f]{16})(\.\w+)?$/.exec(name)?.[1];
        if (
          aside !== undefined
            ? !sha256.startsWith(aside) || !known.has(sha256)
            : !name.startsWith('.reshoot/') && !meant.has(`${sha256} ${name}`)
        )
          yield wrong(`${name} is not what any record puts there`);
      }
    }
  }

  /** What was paid for is somewhere. */
  function* checkKept(): Generator<Violation> {
    for (const call of callsOf(told)) {
      const { picture, error_code: code } = call.closed ?? {};
      if (picture && !told.pictures.has(picture.sha256))
        yield wrong(`the picture of ${nameOf(call)} is gone`);
      if (
        code !== undefined &&
        useless.has(code) &&
        !told.files.has(`.reshoot/rejected/${answerOf(call)}.bin`)
      )
        yield wrong(`the useless answer of ${nameOf(call)} is gone`);
    }
  }
}

const placeOf = (sha256?: string | null, output?: string | null): string[] =>
  sha256 && output ? [`${sha256} ${output}`] : [];

const hashOf = (content: Buffer | string): string => createHash('sha256').update(content).digest('hex');

function* checkLeftovers(
  told: Told,
  records: CallRecord[],
  commands: readonly Command[],
): Generator<Violation> {
  const left = (said: string): Violation => ({ invariant: 'I9', said: `${told.folder}: ${said}` });
  const wasKilled = commands.some(({ killed, signal }) => killed || signal === 'SIGKILL');
  const calls = new Map(records.map((call) => [answerOf(call), call]));
  const settled = settledIn(told);
  for (const name of told.files.keys()) {
    // A disk that can only be read from some moment on keeps what was to be removed.
    const isStuck = commands.some(({ stderr }) => stderr.includes('EROFS') && stderr.includes(name));
    if (isTemporary(name) && !wasKilled && !isStuck) yield left(`${name}, though nobody was killed`);
    const [, key = '', kind] = /^\.reshoot\/spool\/(.+)\.(part|bin)$/.exec(name) ?? [];
    if (kind === undefined) continue;
    const call = calls.get(key);
    const { picture } = call?.closed ?? {};
    const isKept = picture && told.pictures.get(picture.sha256)?.includes(picture.output);
    if (!call) yield left(`${name} is of no call`);
    else if (kind === 'part' && (call.closed || settled.has(call.id)))
      yield left(`${name}, though ${nameOf(call)} is over`);
    else if (kind === 'bin' && isKept && settled.has(call.id))
      yield left(`${name}, though its picture stands at ${picture.output}`);
  }
}

/** Rows that the latest run was to do and brought to an end. */
function settledIn({ runs }: Told): Set<string> {
  const latest = runs.at(-1);
  if (!latest?.end || latest.end.stop) return new Set();
  return new Set(
    latest.plan.flatMap(({ id, selected, invalid }) => (selected && invalid === undefined ? id : [])),
  );
}

/** Decodes the whole of it, once. */
function sizeOf(content: Buffer, sha256: string): Promise<Size | undefined> {
  const known = sizes.get(sha256) ?? decoded(content);
  sizes.set(sha256, known);
  return known;
}

async function decoded(content: Buffer): Promise<Size | undefined> {
  try {
    const { info } = await sharp(content, { failOn: 'warning' }).raw().toBuffer({ resolveWithObject: true });
    return info;
  } catch {
    return undefined;
  }
}
