import { UsageError } from '../errors.ts';
import type { Route } from '../model.ts';
import type { Random } from './chance.ts';

/** What a fault does to its call. */
export type Deed =
  | { do: 'say'; status: number; body: 'envelope' | 'html'; code: number; message: string }
  | { do: 'redirect' }
  | { do: 'data'; data: unknown[] }
  | { do: 'cut-body' | 'cut-base64' | 'not-image' | 'reset' | 'hang' }
  | { do: 'cut-image'; share: number };

/** A misbehaviour of the API, made to order. */
export interface Fault {
  /** As it was written, without `*` and `@`. */
  name: string;
  /** `arrival`: before the body is read · `refusal`: at once after it · `work`: after credits and latency. */
  when: 'arrival' | 'refusal' | 'work';
  /** `coin`: what nobody outside can know is decided by chance, and the log tells it. */
  charged: 'yes' | 'no' | 'coin';
  deed: Deed;
}

/** A fault that strikes this share (0 to 1) of the calls. */
export interface LikelyFault {
  fault: Fault;
  share: number;
}

/** A fault of a prompt's marker: for every call with `always`, for one route's calls with `route`. */
export interface Step {
  fault: Fault;
  always: boolean;
  route: Route | undefined;
}

const refusals: Record<string, string> = {
  '400': 'bad request',
  '401': 'invalid api key',
  '402': 'insufficient credits',
  '403': 'the account is blocked',
  '404': 'not found',
  '413': 'request entity too large',
  '422': 'the image cannot be processed',
  '429': 'too many requests',
};

const say = (status: number, body: 'envelope' | 'html', message: string, code = status): Deed => ({
  do: 'say',
  status,
  body,
  code,
  message,
});

const free = (deed: Deed): Omit<Fault, 'name'> => ({ when: 'refusal', charged: 'no', deed });
const paid = (deed: Deed): Omit<Fault, 'name'> => ({ when: 'work', charged: 'yes', deed });
const doubtful = (deed: Deed): Omit<Fault, 'name'> => ({ when: 'work', charged: 'coin', deed });
const ownFailure = (status: number): Omit<Fault, 'name'> => ({
  when: 'work',
  charged: 'no',
  deed: say(status, 'envelope', 'internal error, please retry'),
});

const named: Record<string, Omit<Fault, 'name'>> = {
  ...Object.fromEntries(
    Object.entries(refusals).map(([status, message]) => [
      status,
      free(say(Number(status), 'envelope', message)),
    ]),
  ),
  ...Object.fromEntries([502, 503, 504, 520].map((status) => [status, doubtful(say(status, 'html', ''))])),
  '500': ownFailure(500),
  '503-envelope': ownFailure(503),
  '403-html': free(say(403, 'html', '')),
  policy: free(say(400, 'envelope', 'rejected by the content policy (moderation_blocked)')),
  redirect: free({ do: 'redirect' }),
  html: doubtful(say(200, 'html', '')),
  empty: paid({ do: 'data', data: [] }),
  null: paid({ do: 'data', data: [{ b64_json: null }] }),
  'cut-body': paid({ do: 'cut-body' }),
  'cut-base64': paid({ do: 'cut-base64' }),
  'not-image': paid({ do: 'not-image' }),
  'reset-before': { when: 'arrival', charged: 'no', deed: { do: 'reset' } },
  reset: doubtful({ do: 'reset' }),
  hang: doubtful({ do: 'hang' }),
};

/** Every name that `parseFault` knows, for messages and help. */
export const faultNames = [...Object.keys(named), 'envelope:<code>', 'cut-image:<percent>%'];

/** @throws UsageError naming the fault that is none, and those that are */
export function parseFault(name: string): Fault {
  const fault = Object.hasOwn(named, name) ? named[name] : withNumber(name);
  if (!fault) throw new UsageError(`"${name}" is no fault; there are ${faultNames.join(', ')}`);
  return { name, ...fault };
}

/** `envelope:1001` is an HTTP 200 that says code 1001; `cut-image:50%` a picture of which half is there. */
function withNumber(name: string): Omit<Fault, 'name'> | undefined {
  const code = /^envelope:(\d{1,9})$/.exec(name)?.[1];
  if (code !== undefined) return envelope(Number(code));
  const share = Number(/^cut-image:(\d+(?:\.\d+)?)%$/.exec(name)?.[1]) / 100;
  return share > 0 && share < 1 ? paid({ do: 'cut-image', share }) : undefined;
}

/** A code that is an HTTP error's own says itself that nothing was made; any other leaves the charge open. */
function envelope(code: number): Omit<Fault, 'name'> {
  const deed = say(200, 'envelope', refusals[String(code)] ?? `error ${code}`, code);
  return { when: 'work', charged: code >= 400 && code < 600 ? 'no' : 'coin', deed };
}

/**
 * `503=1%,reset=0.5%`: which fault strikes which share of the calls; together at most 100 %.
 * @throws UsageError naming the part that is wrong
 */
export function parseFaults(spec: string): LikelyFault[] {
  const faults = parts(spec).map((part) => {
    const match = /^(.+)=(\d+(?:\.\d+)?)%$/.exec(part);
    if (!match?.[1]) throw new UsageError(`"${part}": write a fault and its share, such as 503=1%`);
    return { fault: parseFault(match[1]), share: Number(match[2]) / 100 };
  });
  if (faults.reduce((sum, { share }) => sum + share, 0) > 1 + 1e-9) {
    throw new UsageError(`"${spec}": the shares together are over 100%`);
  }
  return faults;
}

/** The fault that strikes a call, by one throw of `random`. */
export function drawFault(faults: LikelyFault[], random: Random): Fault | undefined {
  let left = random();
  return faults.find(({ share }) => (left -= share) < 0)?.fault;
}

/**
 * The steps of a prompt's markers, in order: `[sim:503,reset]`, `[sim:503*]`, `[sim:503*@1]`; undefined without one.
 * @throws UsageError naming what is wrong
 */
export function parseMarker(prompt: string): Step[] | undefined {
  const markers = [...prompt.matchAll(/\[sim:([^\]]*)(\]?)/g)];
  if (markers.length === 0) return undefined;
  return markers.flatMap(([marker, inside, end]) => {
    if (!end) throw new UsageError(`"${marker.slice(0, 40)}" has no closing bracket`);
    return parts(inside ?? '').map(parseStep);
  });
}

function parseStep(text: string): Step {
  const [, name = '', star, route] = /^(.*?)(\*?)(?:@([12]))?$/.exec(text) ?? [];
  return {
    fault: parseFault(name),
    always: star === '*',
    route: route === undefined ? undefined : route === '1' ? 1 : 2,
  };
}

function parts(list: string): string[] {
  return list.split(',').map((part) => part.trim());
}

/**
 * What a marker's next call meets: the first step left that is for its route. A step without `always` is spent by that.
 * `spent` holds the places of such steps and is written to.
 */
export function nextStep(steps: Step[], route: Route, spent: Set<number>): Fault | undefined {
  const place = steps.findIndex((step, at) => !spent.has(at) && (step.route ?? route) === route);
  const step = steps[place];
  if (step && !step.always) spent.add(place);
  return step?.fault;
}
