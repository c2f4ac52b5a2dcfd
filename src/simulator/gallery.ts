import { digest } from './digest.ts';
import type { Edit } from './edit.ts';
import { makePicture } from './picture.ts';
import { Refusal } from './refusal.ts';

const kept = 64;

/**
 * The picture of an edit; the last ones are kept, since tests and retries ask for the same again.
 * @throws Refusal when the reference does not decode
 */
export function createGallery(): (edit: Edit) => Promise<Buffer> {
  const pictures = new Map<string, Promise<Buffer>>();
  return (edit) => {
    const { width, height } = edit.pixels;
    const key = digest(edit.fingerprint, `${edit.route} ${width}x${height}`);
    const picture = pictures.get(key) ?? draw(edit);
    pictures.delete(key);
    pictures.set(key, picture);
    const [oldest] = pictures.keys();
    if (pictures.size > kept && oldest !== undefined) pictures.delete(oldest);
    return picture;
  };
}

async function draw({ reference, pixels, prompt, route }: Edit): Promise<Buffer> {
  try {
    return await makePicture(reference, pixels, `${route} ${prompt}`);
  } catch (error) {
    throw new Refusal(422, 'unprocessable', `the first reference image cannot be decoded: ${String(error)}`);
  }
}
