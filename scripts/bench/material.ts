import { randomBytes } from 'node:crypto';
import { link, copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';

/** A small product on a plain ground. */
export async function drawSmall(file: string): Promise<string> {
  const disc = Buffer.from('<svg width="96" height="96"><circle cx="48" cy="48" r="28" fill="#a33"/></svg>');
  const ground = { width: 96, height: 96, channels: 3, background: '#fff' } as const;
  await sharp({ create: ground })
    .composite([{ input: disc }])
    .png()
    .toFile(file);
  return file;
}

/** A square PNG of noise, not compressed, just below so many bytes. */
export async function drawNoise(file: string, bytes: number): Promise<string> {
  const side = Math.floor(Math.sqrt((bytes * 0.997) / 3));
  const noise = randomBytes(side * side * 3);
  await sharp(noise, { raw: { width: side, height: side, channels: 3 } })
    .png({ compressionLevel: 0 })
    .toFile(file);
  const { size } = await stat(file);
  if (size >= bytes) throw new Error(`${file} has ${size} bytes, which is not below ${bytes}`);
  return file;
}

/**
 * `manifest.csv` in a folder, with so many rows `r1`, `r2` …; each has a file of its own with the same picture.
 * @param copied a copy each; else links, since many small files need not be many
 */
export async function writeManifest(
  folder: string,
  rows: number,
  picture: string,
  copied = false,
): Promise<string> {
  const pictures = join(folder, 'pictures');
  await mkdir(pictures, { recursive: true });
  const lines = ['id,image,prompt,size'];
  for (let row = 1; row <= rows; row++) {
    const image = join(pictures, `${row}.png`);
    await (copied ? copyFile : link)(picture, image);
    lines.push(`r${row},${image},scene ${row},64x64`);
  }
  const file = join(folder, 'manifest.csv');
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}
