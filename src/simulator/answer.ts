import { STATUS_CODES } from 'node:http';
import type { Deed } from './faults.ts';
import type { Refusal } from './refusal.ts';

/** What goes over the wire; `cut` breaks it off in its middle. */
export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
  cut: boolean;
}

/** What becomes of a call: an answer, a broken connection, or nothing ever. */
export type Reply = Answer | 'reset' | 'hang';

const json = (status: number, value: unknown, headers: Record<string, string> = {}): Answer => ({
  status,
  headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
  body: JSON.stringify(value),
  cut: false,
});

const envelope = (status: number, code: number, msg: string, headers?: Record<string, string>): Answer =>
  json(status, { code, msg, data: null }, headers);

const generation = (data: unknown[]): Answer => json(200, { created: Math.floor(Date.now() / 1000), data });

const imageOf = (base64: string): Answer => generation([{ b64_json: base64 }]);

/** The answer of a call that went well. */
export const pictureAnswer = (jpeg: Buffer): Answer => imageOf(jpeg.toString('base64'));

export const refusalAnswer = (refusal: Refusal): Answer =>
  envelope(refusal.status, refusal.status, refusal.message, refusal.headers);

/** A page as a proxy or firewall before the API would show it. */
function page(status: number): Answer {
  const title = `${status} ${STATUS_CODES[status] ?? 'Web Server Returned an Unknown Error'}`;
  const body = `<html><head><title>${title}</title></head><body><center><h1>${title}</h1></center></body></html>\n`;
  return { status, headers: { 'content-type': 'text/html' }, body, cut: false };
}

/** What a fault's call gets. `picture` is asked only where a whole one is needed to spoil. */
export async function replyTo(
  deed: Deed,
  picture: () => Promise<Buffer>,
  retryAfter?: Record<string, string>,
): Promise<Reply> {
  switch (deed.do) {
    case 'say':
      return deed.body === 'html'
        ? page(deed.status)
        : envelope(deed.status, deed.code, deed.message, deed.status === 429 ? retryAfter : {});
    case 'redirect':
      return { ...page(307), headers: { 'content-type': 'text/html', location: '/elsewhere' } };
    case 'data':
      return generation(deed.data);
    case 'not-image':
      return imageOf(Buffer.from('This is no picture.').toString('base64'));
    case 'cut-body':
      return { ...pictureAnswer(await picture()), cut: true };
    case 'cut-base64':
      return imageOf(halfOf((await picture()).toString('base64')));
    case 'cut-image': {
      const jpeg = await picture();
      return pictureAnswer(jpeg.subarray(0, Math.floor(jpeg.length * deed.share)));
    }
    case 'reset':
    case 'hang':
    default:
      return deed.do;
  }
}

/** Some half of it, of a length that no base64 has. */
function halfOf(base64: string): string {
  return base64.slice(0, (base64.length >> 3) * 4 + 1);
}
