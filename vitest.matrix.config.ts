import { defineConfig } from 'vitest/config';
import { tableReporter } from './test/matrix/table.ts';

/** The throttle against every way a server may count: minutes of waiting, so no part of `npm test`. */
export default defineConfig({
  test: {
    include: ['test/matrix/**/*.test.ts'],
    globalSetup: ['test/fixtures/build.ts'],
    testTimeout: 400_000,
    hookTimeout: 60_000,
    // A file is a process with a simulator of its own; eight workers that start beside a burst would make it late.
    maxWorkers: 1,
    reporters: ['default', tableReporter('dist/throttle-matrix.json')],
  },
});
