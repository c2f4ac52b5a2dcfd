import { EditError } from '../errors.ts';
import type { Ratio, Route } from '../model.ts';

/** What is asked of the API for one row. */
export interface Order {
  prompt: string;
  /** `1K`, `2K`, `4K` or `<width>x<height>`. */
  size: string;
  ratio: Ratio;
  route: Route;
  /**
   * All by content or all by address: the API silently ignores addresses beside content. Not looked at after
   * `beforeEnd`: who empties the array then has the memory back while the call waits for its answer.
   */
  pictures: ({ bytes: Buffer } | { url: string })[];
}

export interface RequestBody {
  /** Bytes of the whole body, known before any of it is made. */
  length: number;
  /** Can be read once: what was read is let go. */
  blocks(): Generator<Buffer>;
}

// A multiple of three, so that the blocks' base64 joins without padding.
const blockSize = 192 * 1024;

/**
 * The request's JSON, in which base64 exists a block at a time only.
 * @throws EditError `bug` for no pictures, or for content and addresses together
 */
export function createRequestBody(order: Order): RequestBody {
  const parts = layOut(order);
  return {
    length: parts.reduce((sum, part) => sum + lengthOf(part), 0),
    *blocks() {
      for (let part = parts.shift(); part !== undefined; part = parts.shift())
        yield* typeof part === 'string' ? [Buffer.from(part)] : encode(part);
    },
  };
}

/** JSON text, and bytes that stand for their base64. */
function layOut({ pictures, ...order }: Order): (string | Buffer)[] {
  const contents = pictures.flatMap((picture) => ('bytes' in picture ? [picture.bytes] : []));
  const urls = pictures.flatMap((picture) => ('url' in picture ? [picture.url] : []));
  if ((contents.length === 0) === (urls.length === 0)) {
    throw new EditError('bug', 'a request takes pictures either by content or by address');
  }
  const { prompt, size, ratio, route } = order;
  const fields = { prompt, size, ratio, route };
  if (urls.length > 0) return [JSON.stringify({ ...fields, image_urls: urls })];
  const opening = `${JSON.stringify(fields).slice(0, -1)},"image_b64":`;
  const list = contents.flatMap((bytes, index) => [index === 0 ? '"' : '","', bytes]);
  return contents.length === 1 ? [opening, ...list, '"}'] : [opening, '[', ...list, '"]}'];
}

function lengthOf(part: string | Buffer): number {
  return typeof part === 'string' ? Buffer.byteLength(part) : Math.ceil(part.length / 3) * 4;
}

function* encode(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += blockSize) {
    yield Buffer.from(bytes.toString('base64', at, at + blockSize), 'latin1');
  }
}
