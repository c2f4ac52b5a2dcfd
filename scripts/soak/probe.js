/**
 * Preloaded into the measured worker: asked by its parent, it collects all garbage and tells how many bytes of the heap
 * are still in use. That is what a leak raises, and nothing else does.
 */
// @ts-check
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

process.on('message', () => {
  collect();
  process.send?.(getHeapStatistics().used_heap_size);
});
// To be asked keeps nobody alive.
process.channel?.unref();
