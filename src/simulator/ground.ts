/** Pixels as sharp hands them over raw: `channels` bytes each, row by row. */
export interface Raster {
  data: Buffer;
  width: number;
  height: number;
}

export type Colour = [number, number, number];

/** A box of pixels, its edges included. */
export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** What stands before the plain ground of a picture. */
export interface Cutout {
  ground: Colour;
  /** One byte a pixel: 255 well inside the object, 0 well outside. */
  mask: Buffer;
  box: Box;
}

/** Distance of a colour from the ground's from which it is surely something else. */
const near = 28;
/** A ground's own gradient may lead this far, in steps of at most `step` from pixel to pixel. */
const far = 60;
const step = 6;
/** So much of a picture's border must look like its ground. */
const plainShare = 0.8;
/** A part of the object that is smaller than this share of the largest is dirt on the ground. */
const speck = 0.03;

/**
 * Finds the object of a picture (three channels, best some 256 pixels wide); undefined where no plain ground runs
 * around it, or nothing else is there.
 */
export function cutOut(raster: Raster): Cutout | undefined {
  const border = borderOf(raster);
  const ground = medianColour(raster, border);
  const plain = border.filter((at) => distance(raster.data, at * 3, ground) <= near);
  if (plain.length < border.length * plainShare) return undefined;
  const object = flood(raster, ground, plain);
  dropSpecks(object, raster);
  const box = boxOf(object, raster.width);
  return box && { ground, mask: soften(object, raster.width, raster.height), box };
}

/** How far a pixel is from a colour: the largest difference of a channel. */
export function distance(data: Buffer, at: number, [r, g, b]: Colour): number {
  return Math.max(
    Math.abs((data[at] ?? 0) - r),
    Math.abs((data[at + 1] ?? 0) - g),
    Math.abs((data[at + 2] ?? 0) - b),
  );
}

function borderOf({ width, height }: Raster): number[] {
  const rows = Array.from({ length: height }, (_, y) => [y * width, y * width + width - 1]);
  const columns = Array.from({ length: width }, (_, x) => [x, (height - 1) * width + x]);
  return [...rows, ...columns].flat();
}

function medianColour({ data }: Raster, pixels: number[]): Colour {
  const median = (channel: number): number => {
    const values = pixels.map((at) => data[at * 3 + channel] ?? 0).sort((a, b) => a - b);
    return values[values.length >> 1] ?? 0;
  };
  return [median(0), median(1), median(2)];
}

/** Spreads the ground from the border inwards; what it doesn't reach is the object: 255. */
function flood({ data, width, height }: Raster, ground: Colour, seeds: number[]): Buffer {
  const object = Buffer.alloc(width * height, 255);
  for (const at of seeds) object[at] = 0;
  spread(seeds, width, height, (at, from) => {
    if (object[at] === 0 || !isGround(data, at * 3, ground, from * 3)) return false;
    object[at] = 0;
    return true;
  });
  return object;
}

function isGround(data: Buffer, at: number, ground: Colour, neighbour: number): boolean {
  const off = distance(data, at, ground);
  return off <= near || (off <= far && difference(data, at, neighbour) <= step);
}

function difference(data: Buffer, a: number, b: number): number {
  return Math.max(
    Math.abs((data[a] ?? 0) - (data[b] ?? 0)),
    Math.abs((data[a + 1] ?? 0) - (data[b + 1] ?? 0)),
    Math.abs((data[a + 2] ?? 0) - (data[b + 2] ?? 0)),
  );
}

/** Walks from the seeds to every neighbour that `enter` lets in, and on from there; returns all pixels walked. */
function spread(
  seeds: number[],
  width: number,
  height: number,
  enter: (at: number, from: number) => boolean,
): number[] {
  const walked = [...seeds];
  const visit = (at: number, from: number): void => void (enter(at, from) && walked.push(at));
  for (const at of walked) {
    const x = at % width;
    if (x > 0) visit(at - 1, at);
    if (x < width - 1) visit(at + 1, at);
    if (at >= width) visit(at - width, at);
    if (at < width * (height - 1)) visit(at + width, at);
  }
  return walked;
}

function dropSpecks(object: Buffer, { width, height }: Raster): void {
  const seen = Buffer.alloc(object.length);
  const enter = (at: number): boolean => object[at] === 255 && seen[at] === 0 && (seen[at] = 1) === 1;
  const pieces: number[][] = [];
  for (let at = 0; at < object.length; at++) {
    if (enter(at)) pieces.push(spread([at], width, height, enter));
  }
  const largest = pieces.reduce((most, piece) => Math.max(most, piece.length), 0);
  for (const at of pieces.filter((piece) => piece.length < largest * speck).flat()) object[at] = 0;
}

/** One pixel of a row or column is a hair. */
const isMore = (count: number): boolean => count > 1;

/** The object's box without its thinnest specks; undefined where there is next to nothing of it. */
function boxOf(object: Buffer, width: number): Box | undefined {
  const columns = new Uint32Array(width);
  const rows = new Uint32Array(object.length / width);
  for (const [at, value] of object.entries()) {
    if (value === 0) continue;
    columns[at % width] = (columns[at % width] ?? 0) + 1;
    const y = Math.floor(at / width);
    rows[y] = (rows[y] ?? 0) + 1;
  }
  const box = {
    left: columns.findIndex(isMore),
    top: rows.findIndex(isMore),
    right: columns.findLastIndex(isMore),
    bottom: rows.findLastIndex(isMore),
  };
  return box.right - box.left > 2 && box.bottom - box.top > 2 ? box : undefined;
}

/** The mean of each pixel's 3 × 3 neighbourhood. */
function soften(mask: Buffer, width: number, height: number): Buffer {
  const soft = Buffer.alloc(mask.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) soft[y * width + x] = meanAround(mask, x, y, width, height);
  }
  return soft;
}

function meanAround(mask: Buffer, x: number, y: number, width: number, height: number): number {
  let sum = 0;
  for (let dy = -1; dy <= 1; dy++) {
    const row = Math.min(Math.max(y + dy, 0), height - 1) * width;
    for (let dx = -1; dx <= 1; dx++) sum += mask[row + Math.min(Math.max(x + dx, 0), width - 1)] ?? 0;
  }
  return sum / 9;
}
