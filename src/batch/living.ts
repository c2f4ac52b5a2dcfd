import { isSame, livesHere, self, type Owner } from '../owner.ts';
import { heartbeatLifeMs, type Offer, type Presence } from '../queue/presence.ts';

/** Who else works, as far as this process has heard over Redis. */
export interface Living {
  /** Says that this process lives and what it offers, and hears of the others. */
  beat(offer: Offer): Promise<void>;
  /** When Redis last answered that, by `performance.now()`. */
  heardAt(): number;
  /** Processes that work, this one included. */
  count(): number;
  /** Does no other process work? */
  isAlone(): boolean;
  /** May the process still live, as far as anybody knows? */
  lives(owner: Owner): boolean;
}

export async function joinLiving(desk: Pick<Presence, 'beat' | 'known'>, offer: Offer): Promise<Living> {
  let living: Owner[] = [];
  let known: Owner[] = [];
  let heardAt = performance.now();
  // After a time without Redis nobody was heard of, so nobody elsewhere is known to be dead; nor is who has another Redis.
  let hearingSince = heardAt;
  const beat = async (offer: Offer): Promise<void> => {
    living = await desk.beat(offer);
    known = await desk.known();
    const now = performance.now();
    if (now - heardAt > heartbeatLifeMs / 2) hearingSince = now;
    heardAt = now;
  };
  await beat(offer);
  return {
    beat,
    heardAt: () => heardAt,
    count: () => Math.max(1, living.length),
    isAlone: () => living.every((owner) => isSame(owner, self)),
    lives: (owner) =>
      livesHere(owner) ??
      (performance.now() - hearingSince < heartbeatLifeMs ||
        living.some((other) => isSame(other, owner)) ||
        !known.some((other) => isSame(other, owner))),
  };
}
