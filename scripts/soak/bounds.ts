import type { Bound } from './trend.ts';

/** Of what is sampled all the time: it swings with the calls in flight. */
export const whileWorking: Bound[] = [
  { measure: 'rss_mb', name: 'worker, resident', unit: 'MB', share: 0.1 },
  { measure: 'pss_mb', name: 'worker, without shared pages', unit: 'MB', share: 0.1 },
  { measure: 'helper_mb', name: 'a helper of its, resident', unit: 'MB', share: 0.1 },
  { measure: 'redis_mb', name: 'Redis, all memory', unit: 'MB' },
  { measure: 'redis_filling_mb', name: 'Redis, lists that fill to a bound', unit: 'MB' },
  { measure: 'redis_other_mb', name: 'Redis, all but them and jobs', unit: 'MB', share: 0.1 },
  { measure: 'redis_lasting_keys', name: 'Redis, lasting keys but those of jobs', unit: '', most: 5 },
  { measure: 'redis_orphans', name: 'Redis, keys of runs that are over', unit: '', most: 2 },
];

/** Of the moments of rest: nothing is in flight, so that one handle too many is seen. */
export const whileResting: Bound[] = [
  { measure: 'heap_mb', name: 'worker, heap without garbage', unit: 'MB', share: 0.1 },
  { measure: 'rss_mb', name: 'worker, resident', unit: 'MB', share: 0.1 },
  { measure: 'files', name: 'worker, open files', unit: '', most: 2 },
  { measure: 'sockets', name: 'worker, of them sockets', unit: '', most: 2 },
  { measure: 'threads', name: 'worker, threads', unit: '', most: 1 },
  { measure: 'helpers', name: 'helper processes', unit: '', most: 1 },
  { measure: 'redis_lasting_keys', name: 'Redis, lasting keys', unit: '', most: 1 },
  { measure: 'redis_clients', name: 'Redis, connections', unit: '', most: 2 },
  { measure: 'redis_blocked', name: 'Redis, connections that wait', unit: '', most: 1 },
  { measure: 'spool', name: 'answers in the spool', unit: '', most: 1 },
];
