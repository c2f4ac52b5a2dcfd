import type { Scene, Violation } from './scene.ts';

/** Shorter ones are no keys, and stand in every text. */
const leastLength = 10;

/** I8: no key in any file or on any terminal. D6: no picture there but as a file of its own. */
export function* checkSecrets({ outputs, state, redis, commands, secrets }: Scene): Generator<Violation> {
  const needles = secrets.filter(({ length }) => length >= leastLength).flatMap(formsOf);
  const texts = [
    ...[...outputs].flatMap(([name, files]) => under(name, files)),
    ...under('state', state),
    ...under('redis', redis),
  ];
  for (const { args, pid, stdout, stderr } of commands)
    texts.push([`what ${args[0]} (${pid}) said`, Buffer.from(`${stdout}\n${stderr}`)]);
  for (const [name, content] of texts) {
    if (needles.some((needle) => content.includes(needle))) yield { invariant: 'I8', said: `${name}: a key` };
    if (isText.test(name) && picture.test(content.toString('latin1')))
      yield { invariant: 'D6', said: `${name}: a picture` };
  }
}

/** Records, reports of lines, what is kept of Redis, logs. */
const isText = /\.(jsonl?|csv|aof|log|rdb)$|^what |^redis\//;
/** Base64 of more than any hash or id. */
const picture = /[A-Za-z0-9+/]{1000}/;

const under = (folder: string, files: ReadonlyMap<string, Buffer>): [string, Buffer][] =>
  [...files].map(([name, content]) => [`${folder}/${name}`, content]);

/** As it is, in JSON, in an address, and in base64 wherever it begins in what was encoded. */
function formsOf(key: string): string[] {
  const coded = [0, 1, 2].flatMap((before) => {
    const whole = Buffer.from('x'.repeat(before) + key);
    // The first and the last characters hold bits of what stands beside.
    return (['base64', 'base64url'] as const).map((form) =>
      whole
        .toString(form)
        .replace(/=+$/, '')
        .slice(before === 0 ? 0 : before + 1, -1),
    );
  });
  return [...new Set([key, encodeURIComponent(key), JSON.stringify(key).slice(1, -1), ...coded])];
}
