import { needTexts } from '../image/needs.ts';
import type { Preparer } from '../image/preparer.ts';
import type { Inspect } from '../manifest/picture-files.ts';
import type { Flaw } from '../manifest/problem.ts';
import { fitOf, type PictureRules } from './input.ts';

/** Tells a manifest's reader what a worker will do to its pictures, by their headers. */
export function inspectorOf(preparer: Pick<Preparer, 'inspect'>, rules: PictureRules): Inspect {
  return async (pictures) => {
    const found = await preparer.inspect(pictures, fitOf(1, rules));
    return found.map((one) => {
      if (!('needs' in one)) {
        const remedy = one.code === 'input_too_large' ? smaller : anew;
        return { problem: `the picture can't be sent: ${one.message}`, remedy };
      }
      const texts = one.needs.map((need) => needTexts[need]);
      return rules.strict && texts.length > 0 ? unfit(texts) : texts;
    });
  };
}

const anew = 'export it as JPEG, PNG or WebP';
const smaller = 'export it smaller';

const unfit = (texts: string[]): Flaw => ({
  problem: `the picture would have to be changed: it ${texts.join('; it ')}`,
  remedy: 'change it yourself, or leave out --inputs strict',
});
