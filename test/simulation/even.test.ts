import { it } from 'vitest';
import { longestMs, playHistories } from './seeds.ts';

it(
  'whatever dies, freezes or is lost, each row ends once and is paid once',
  () => playHistories(0),
  longestMs,
);
