import { expect, it } from 'vitest';
import { chanceOf } from '../../src/simulator/chance.ts';

/** Chances of one play, the same for the same seed. */
export interface Dice {
  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number;
  pick<T>(choices: readonly T[]): T;
}

/** `FAULT_SEEDS=5` or `FAULT_SEEDS=1-20`; without it seed 1 of the short plays, as a part of `npm test`. */
const asked = process.env['FAULT_SEEDS'];
const [first = 1, last = first] = (asked ?? '1').split('-').map(Number);
const seeds = Array.from({ length: last - first + 1 }, (_, i) => first + i);

/**
 * A fault that really strikes, at a moment that the dice choose. What holds afterwards is asserted in the play; the
 * invariants are checked by the rig when it is closed.
 * @param name begins with the fault's number in RELIABILITY.md
 * @param play says by what it saw that the fault struck; a play whose fault missed must fail
 */
export function fault(name: string, play: (dice: Dice) => Promise<string>): void {
  it.for(seeds)(`${name} (seed %i)`, async (seed, { annotate }) => {
    const struck = await play(createDice(seed));
    expect(struck, 'by what was it seen that the fault struck?').not.toBe('');
    await annotate(`struck: ${struck}`);
  });
}

/** The same for plays that take long: only where seeds are asked for. */
export function longFault(name: string, play: (dice: Dice) => Promise<string>): void {
  if (asked !== undefined) fault(name, play);
}

function createDice(seed: number): Dice {
  const random = chanceOf(seed, 1);
  const between: Dice['between'] = (least, most) => least + Math.floor(random() * (most - least + 1));
  return { between, pick: (choices) => choices[between(0, choices.length - 1)]! };
}
