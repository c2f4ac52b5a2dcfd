import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { toError } from '../errors.ts';
import type { PictureFacts } from '../model.ts';
import { describeContent, pictureKind, type Kind } from './kind.ts';
import type { Fit, Refusal } from './needs.ts';
import {
  inspect,
  prepare,
  type Inspected,
  type Prepared,
  type PrepareOrder,
  type Subject,
} from './prepare.ts';
import { shrink, type Original, type Shrunk } from './shrink.ts';
import { decodable, decodeAll, expectEnd, mostVerifiedPixels, openPicture } from './whole.ts';

/** What the helper process says of a picture: facts, a fault of the picture, or a fault of the machine. */
export type Verdict =
  | { facts: PictureFacts }
  | { code: 'not_a_picture' | 'cut_picture'; message: string }
  | { fault: string };

/** What the helper process is asked for, one thing at a time. */
export type Request =
  | { judge: string }
  | { shrink: Original }
  | { inspect: Subject[]; fit: Fit }
  | { prepare: PrepareOrder };

/** What it answers. */
export type Reply = Verdict | Shrunk | Inspected[] | Prepared | Refusal;

const loaders = ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Heif', 'Tiff'];

/**
 * Prepares this process's libvips for pictures of strangers and returns what answers a request, which never throws.
 * Runs only in the helper process, since a picture may kill its decoder.
 */
export function createDecoder(): (request: Request) => Promise<Reply> {
  sharp.concurrency(1);
  sharp.cache(false);
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({
    operation: loaders.flatMap((name) => [`VipsForeignLoad${name}Buffer`, `VipsForeignLoad${name}File`]),
  });
  return (request) => {
    if ('judge' in request) return judgeFile(request.judge);
    if ('shrink' in request) return shrink(request.shrink);
    if ('prepare' in request) return prepare(request.prepare);
    return inspectAll(request.inspect, request.fit);
  };
}

/** One after the other: so the process holds one header at a time. */
async function inspectAll(subjects: Subject[], fit: Fit): Promise<Inspected[]> {
  const all: Inspected[] = [];
  for (const subject of subjects) all.push(await inspect(subject, fit));
  return all;
}

async function judgeFile(file: string): Promise<Verdict> {
  try {
    return await judge(await readFile(file));
  } catch (error) {
    return { fault: toError(error).message };
  }
}

async function judge(bytes: Buffer): Promise<Verdict> {
  const kind = pictureKind(bytes);
  if (!kind) return { code: 'not_a_picture', message: `the content is ${describeContent(bytes)}` };
  if (!decodable.has(kind.ext)) return { facts: await believe(bytes, kind) };
  try {
    return { facts: await decode(bytes, kind) };
  } catch (error) {
    const reason = toError(error).message.split('\n', 1)[0]?.trim();
    return { code: 'cut_picture', message: `the ${kind.mime} does not decode to its end: ${reason}` };
  }
}

/** A type that this libvips cannot decode; of some it can at least read the header. */
async function believe(bytes: Buffer, kind: Kind): Promise<PictureFacts> {
  const unknown = { width: 0, height: 0 };
  const { width, height } = await headerOf(bytes).catch(() => unknown);
  return { ...kind, width, height, verified: false };
}

async function decode(bytes: Buffer, kind: Kind): Promise<PictureFacts> {
  expectEnd(bytes, kind);
  const { width, height } = await headerOf(bytes);
  const verified = width * height <= mostVerifiedPixels;
  if (verified) await decodeAll(bytes, kind, mostVerifiedPixels);
  return { ...kind, width, height, verified };
}

function headerOf(bytes: Buffer): Promise<{ width: number; height: number }> {
  return openPicture(bytes, { limitInputPixels: false }).metadata();
}
